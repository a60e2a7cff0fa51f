import { useSignal } from "@preact/signals";
import { Link2Off, MicOff } from "lucide";
import type { Call } from "../call/call";
import type { Door } from "../protocol/Door";
import { Icon } from "./Icon";
import { ofDoor, ofHosting } from "./words";

const DOORS: readonly Door[] = ["open", "lobby", "locked"];

/** What hosts decide for the whole call; for everybody else, what they have decided. */
export function HostControls({ call }: { call: Call }) {
  const { hosting } = call;
  const door = hosting.door.value;
  if (!door) return null;
  if (!hosting.mine.value) {
    return door === "open" ? null : <p class="door-note">{ofDoor[door].note}</p>;
  }
  return (
    <section class="panel-section host-controls">
      <h3>{ofHosting.title}</h3>
      <fieldset class="doors">
        <legend>{ofHosting.whoMayJoin}</legend>
        {DOORS.map((choice) => (
          <label key={choice}>
            <input
              type="radio"
              name="door"
              value={choice}
              checked={choice === door}
              onChange={() => hosting.setDoor(choice)}
            />
            <span>
              {ofDoor[choice].label}
              <small>{ofDoor[choice].text}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <div class="host-actions">
        <button type="button" class="button small" onClick={() => hosting.muteOthers()}>
          <Icon of={MicOff} size={16} />
          {ofHosting.muteOthers}
        </button>
        <ChangeLink call={call} />
      </div>
    </section>
  );
}

/** Asks once more, since those who were invited and are not here yet need the new one. */
function ChangeLink({ call }: { call: Call }) {
  const asked = useSignal(false);
  if (!asked.value) {
    return (
      <button
        type="button"
        class="button small"
        onClick={() => {
          asked.value = true;
        }}
      >
        <Icon of={Link2Off} size={16} />
        {ofHosting.changeLink}
      </button>
    );
  }
  const close = () => {
    asked.value = false;
  };
  return (
    <div class="host-question" role="alertdialog" aria-label={ofHosting.changeLink}>
      <p>{ofHosting.changeLinkText}</p>
      <button
        type="button"
        class="button small danger"
        onClick={() => {
          call.hosting.changeLink();
          close();
        }}
      >
        {ofHosting.changeLinkYes}
      </button>
      <button type="button" class="button small" onClick={close}>
        {ofHosting.cancel}
      </button>
    </div>
  );
}
