import { UserRoundPlus } from "lucide";
import type { Call } from "../call/call";
import type { Visitor } from "../protocol/Visitor";
import { Icon } from "./Icon";
import { ofHosting } from "./words";

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
  const { name, device } = visitor;
  const met = call.people.recall(device);
  const verified = met !== undefined && met.verified !== null;
  return (
    <div class="visitor" data-visitor={name}>
      <Icon of={UserRoundPlus} size={24} />
      <div class="visitor-text">
        <strong>{ofHosting.wants(name)}</strong>
        <p>{met ? (verified ? ofHosting.verified : ofHosting.met) : ofHosting.stranger}</p>
      </div>
      <div class="visitor-actions">
        <button
          type="button"
          class="button small primary"
          onClick={() => call.hosting.admit(visitor)}
        >
          {ofHosting.admit}
        </button>
        <button type="button" class="button small" onClick={() => call.hosting.turnAway(visitor)}>
          {ofHosting.turnAway}
        </button>
      </div>
    </div>
  );
}
