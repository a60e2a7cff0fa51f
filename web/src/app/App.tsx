import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { tidyAfterStart } from "../files/tidying";
import { Home } from "./Home";
import { LinkTrouble, Problem } from "./Problem";
import { Room } from "./Room";
import { route } from "./route";
import { canSign, type Lack, whatIsMissing } from "./support";
import { ofLack } from "./words";

export function App() {
  const { value } = route;
  const lack = useLack();
  useEffect(tidyAfterStart, []);
  if (value.page === "home") return <Home />;
  if (!value.to.ok) return <LinkTrouble problem={value.to.problem} />;
  if (lack) return <Problem {...ofLack[lack]} />;
  const { link } = value.to;
  return <Room key={`${link.room}#${link.secret}`} link={link} />;
}

function useLack(): Lack | undefined {
  const lack = useSignal(whatIsMissing());
  useEffect(() => {
    if (lack.value) return;
    void canSign().then((can) => {
      if (!can) lack.value = "signatures";
    });
  }, []);
  return lack.value;
}
