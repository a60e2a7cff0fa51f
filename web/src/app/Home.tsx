import { useSignal } from "@preact/signals";
import { ArrowRight, Link, Lock, Server, UserX, Video } from "lucide";
import { useEffect } from "preact/hooks";
import { newLink, readPastedLink } from "../call/link";
import { Icon, Mark } from "./Icon";
import { goTo } from "./route";
import { ThisPage } from "./ThisPage";
import { ofLink } from "./words";

export function Home() {
  useEffect(() => {
    document.title = "Conclave – private group video calls";
  }, []);
  return (
    <div class="home">
      <header class="home-head">
        <Mark size={26} />
        <span>Conclave</span>
      </header>
      <main class="home-main">
        <section class="home-pitch">
          <h1>
            Video calls that <em>stay in the room</em>.
          </h1>
          <p class="home-lead">
            Start a call, share its link, talk. What you say and show is encrypted on your device
            and opened only on theirs. Not even this server can look inside.
          </p>
          <div class="home-actions">
            <button type="button" class="button primary large" onClick={() => goTo(newLink())}>
              <Icon of={Video} />
              New call
            </button>
            <Paste />
          </div>
          <ul class="home-facts">
            <li>
              <Icon of={Lock} size={18} /> End-to-end encrypted, always
            </li>
            <li>
              <Icon of={UserX} size={18} /> No account, nothing to install
            </li>
            <li>
              <Icon of={Server} size={18} /> Runs on your own server
            </li>
          </ul>
        </section>
        <Scene />
      </main>
      <About />
    </div>
  );
}

function About() {
  const open = useSignal(false);
  return (
    <footer class="home-foot">
      <details
        onToggle={({ currentTarget }) => {
          open.value = currentTarget.open;
        }}
      >
        <summary>Is this page genuine?</summary>
        {open.value && <ThisPage />}
      </details>
    </footer>
  );
}

function Paste() {
  const text = useSignal("");
  const wrong = useSignal<string | undefined>(undefined);
  const submit = (event: Event) => {
    event.preventDefault();
    const result = readPastedLink(text.value);
    if (result.ok) goTo(result.link);
    else wrong.value = ofLink[result.problem].text;
  };
  return (
    <form class="paste" onSubmit={submit} noValidate>
      <div class="paste-row">
        <Icon of={Link} size={18} />
        <input
          type="url"
          inputMode="url"
          aria-label="Link to a call"
          aria-invalid={wrong.value !== undefined}
          aria-describedby={wrong.value ? "paste-wrong" : undefined}
          placeholder="Paste a link to join"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => {
            text.value = event.currentTarget.value;
            wrong.value = undefined;
          }}
        />
        <button type="submit" class="paste-go" aria-label="Open link" disabled={!text.value.trim()}>
          <Icon of={ArrowRight} size={18} />
        </button>
      </div>
      {wrong.value && (
        <p class="field-wrong" id="paste-wrong" role="alert">
          {wrong}
        </p>
      )}
    </form>
  );
}

/** A call as an outsider sees it: people, and nothing about them. */
function Scene() {
  return (
    <div class="scene" aria-hidden="true">
      {["a", "b", "c", "d"].map((tile) => (
        <div key={tile} class={`scene-tile scene-${tile}`}>
          <svg viewBox="0 0 160 110" preserveAspectRatio="xMidYMax slice" aria-hidden="true">
            <circle cx="80" cy="50" r="21" />
            <path d="M32 122c2-30 22-44 48-44s46 14 48 44z" />
          </svg>
        </div>
      ))}
      <div class="scene-lock">
        <Icon of={Lock} size={30} />
      </div>
    </div>
  );
}
