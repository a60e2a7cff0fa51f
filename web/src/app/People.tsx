import { BadgeCheck, ChevronRight, MicOff, ScreenShare, ShieldAlert } from "lucide";
import type { Call } from "../call/call";
import type { Judgement } from "../people/known";
import type { Member } from "../protocol/Member";
import { Avatar } from "./Avatar";
import { Digits } from "./Digits";
import { HostControls } from "./HostControls";
import { Icon } from "./Icon";
import { Invitation } from "./Invitation";
import { ofCallCode, ofForgetting, ofStanding } from "./words";

interface Props {
  call: Call;
  /** Somebody was chosen, to be checked. */
  onCheck: (member: Member) => void;
}

/** Who is in the call, and how far they are who they say. */
export function People({ call, onCheck }: Props) {
  const code = call.callCode.value;
  return (
    <div class="panel-body">
      <HostControls call={call} />
      <ul class="people">
        {call.roster.value.map((member) => (
          <Person key={member.leaf} call={call} member={member} onCheck={onCheck} />
        ))}
      </ul>
      {!call.deviceLasts.value && <p class="forgetting">{ofForgetting.device}</p>}
      {!call.people.lasting.value && <p class="forgetting">{ofForgetting.people}</p>}
      <section class="panel-section">
        <h3>{ofCallCode.title}</h3>
        {code && <Digits of={code} label={ofCallCode.title} />}
        <p>{ofCallCode.text}</p>
        <p>{ofCallCode.differ}</p>
      </section>
      <section class="panel-section">
        <h3>Invite others</h3>
        <p>Whoever has this link can join. Share it only with people you trust.</p>
        <Invitation link={call.address.value} notices={call.notices} />
      </section>
    </div>
  );
}

function Person({ call, member, onCheck }: Props & { member: Member }) {
  const { leaf, participant, name, is_self, is_host, device } = member;
  const sources = call.media.publications.value.find(
    (entry) => entry.participant === participant,
  )?.sources;
  const muted = is_self
    ? !call.devices.sentMicrophone.value
    : sources && !sources.includes("microphone");
  const judgement = call.people.judged.value.get(leaf);
  const signs = (
    <>
      {sources?.includes("screen") && <Icon of={ScreenShare} size={16} />}
      {muted && (
        <span class="people-muted" role="img" aria-label="muted">
          <Icon of={MicOff} size={16} />
        </span>
      )}
    </>
  );
  const about = { "data-person": name, "data-device": device, "data-self": String(is_self) };
  if (!judgement || judgement.standing === "own") {
    return (
      <li {...about}>
        <span class="person">
          <Avatar name={name} small />
          <span class="people-name">
            {name}
            {is_self && <small> (you{is_host && ", host"})</small>}
            {judgement && <small> ({ofStanding.own})</small>}
          </span>
          {signs}
        </span>
      </li>
    );
  }
  return (
    <li {...about} data-standing={judgement.standing}>
      <button type="button" class="person" onClick={() => onCheck(member)}>
        <Avatar name={name} small />
        <span class="people-name">
          {name}
          {is_host && <small> (host)</small>}
          <Said judgement={judgement} />
        </span>
        {signs}
        <Badge judgement={judgement} />
        <Icon of={ChevronRight} size={16} />
      </button>
    </li>
  );
}

function Said({ judgement: { standing, formerly } }: { judgement: Judgement }) {
  const said = [ofStanding[standing], formerly && `was called ${formerly}`].filter(Boolean);
  if (said.length === 0) return null;
  return (
    <small class={`standing ${standing}`}>
      <span class="unseen">, </span>
      {said.join(", ")}
    </small>
  );
}

/** A sign for the words beside it. */
function Badge({ judgement: { standing } }: { judgement: Judgement }) {
  if (standing === "verified") {
    return (
      <span class="standing verified">
        <Icon of={BadgeCheck} size={20} />
      </span>
    );
  }
  if (standing !== "changed" && standing !== "differs") return null;
  return (
    <span class={`standing ${standing}`}>
      <Icon of={ShieldAlert} size={20} />
    </span>
  );
}
