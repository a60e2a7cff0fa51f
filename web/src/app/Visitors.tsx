import { ShieldAlert, UserRoundPlus } from "lucide";
import type { Call } from "../call/call";
import type { Visitor } from "../protocol/Visitor";
import { Icon } from "./Icon";
import { ofHosting, ofVisitor } from "./words";

/** Who waits before the door, for a host to let in or not. */
export function Visitors({ call }: { call: Call }) {
  const [first, ...others] = call.hosting.waiting.value;
  if (!first) return null;
  return (
    <section class="visitors" role="alert" aria-label={ofHosting.waiting}>
      <Knocking key={first.participant} call={call} visitor={first} />
      {others.length > 0 && <p class="visitors-more">{ofHosting.others(others.length)}</p>}
    </section>
  );
}

function Knocking({ call, visitor }: { call: Call; visitor: Visitor }) {
  const judgement = call.people.judgeVisitor(visitor);
  const { title, text, loud } = ofVisitor(visitor.name, judgement);
  const parts = loud ? "alarm" : "visitor";
  return (
    <div class={`${parts} ${loud}`} data-visitor={visitor.name} data-standing={judgement?.standing}>
      <Icon of={loud ? ShieldAlert : UserRoundPlus} size={24} />
      <div class={`${parts}-text`}>
        <strong>{title}</strong>
        <p>{text}</p>
      </div>
      <div class={`${parts}-actions`}>
        <button
          type="button"
          class={`button small ${loud ? "" : "primary"}`}
          onClick={() => call.hosting.admit(visitor)}
        >
          {ofHosting.admit}
        </button>
        <button
          type="button"
          class={`button small ${loud ? "primary" : ""}`}
          onClick={() => call.hosting.turnAway(visitor)}
        >
          {ofHosting.turnAway}
        </button>
      </div>
    </div>
  );
}
