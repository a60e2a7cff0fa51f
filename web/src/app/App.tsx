import { Home } from "./Home";
import { LinkTrouble, Problem } from "./Problem";
import { Room } from "./Room";
import { route } from "./route";
import { whatIsMissing } from "./support";
import { ofLack } from "./words";

export function App() {
  const { value } = route;
  if (value.page === "home") return <Home />;
  if (!value.to.ok) return <LinkTrouble problem={value.to.problem} />;
  const lack = whatIsMissing();
  if (lack) return <Problem {...ofLack[lack]} />;
  const { link } = value.to;
  return <Room key={`${link.room}#${link.secret}`} link={link} />;
}
