import { House, RotateCw, TriangleAlert, Unlink } from "lucide";
import type { LinkProblem } from "../call/link";
import { Icon, Mark } from "./Icon";
import { goHome } from "./route";
import { type Explanation, ofLink } from "./words";

interface Props extends Explanation {
  onRetry?: () => void;
  icon?: typeof TriangleAlert;
}

/** A page that says what is wrong, and nothing else. */
export function Problem({ title, text, retry, onRetry, icon = TriangleAlert }: Props) {
  return (
    <main class="plain">
      <div class="plain-card" role="alert">
        <span class="plain-icon">
          <Icon of={icon} size={26} />
        </span>
        <h1>{title}</h1>
        {text && <p>{text}</p>}
        <div class="plain-actions">
          {retry && (
            <button
              type="button"
              class="button primary"
              onClick={onRetry ?? (() => location.reload())}
            >
              <Icon of={RotateCw} size={18} />
              Try again
            </button>
          )}
          <button type="button" class="button" onClick={goHome}>
            <Icon of={House} size={18} />
            Go to the start page
          </button>
        </div>
      </div>
      <footer class="plain-foot">
        <Mark size={18} /> Conclave
      </footer>
    </main>
  );
}

export function LinkTrouble({ problem }: { problem: LinkProblem }) {
  return <Problem {...ofLink[problem]} icon={Unlink} />;
}
