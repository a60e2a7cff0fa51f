import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Check, checkPage, here, inGroups } from "../page/check";

/** Which client this is, and how to find out whether that is true. */
export function ThisPage() {
  const check = useSignal<Check | undefined>(undefined);
  useEffect(() => {
    void checkPage(here()).then((found) => {
      check.value = found;
    });
  }, []);
  return (
    <div class="this-page" data-check={check.value?.kind}>
      <Finding check={check.value} />
      <p>
        Whoever runs this server could send you another page, and that page could show any number.
        So don’t ask the page, ask from outside: someone with a copy of Conclave that they trust can
        run this on another computer.
      </p>
      <code class="this-page-command">conclave verify-client {location.origin}</code>
    </div>
  );
}

function Finding({ check }: { check: Check | undefined }) {
  if (!check) return <p role="status">Looking at the files of this page…</p>;
  switch (check.kind) {
    case "as_listed":
      return (
        <>
          <p role="status">
            The {check.files} files of this page are those that the server lists. This number stands
            for all of them; equal pages have equal numbers.
          </p>
          <Hash of={check.hash} />
        </>
      );
    case "different":
      return (
        <>
          <p role="alert" class="this-page-wrong">
            The files that reached this browser are not those that the server lists. Don’t use this
            page for anything private.
          </p>
          {check.files.length > 0 && <p>Not as listed: {check.files.join(", ")}</p>}
          <p>What the server lists:</p>
          <Hash of={check.listed} />
          <p>What came:</p>
          <Hash of={check.hash} />
        </>
      );
    case "unknown":
      return (
        <p role="status">
          {check.why === "insecure"
            ? "This page did not come over https, so anyone on the way could have changed it."
            : "This server has no list of the page’s files, so there is no number to compare."}
        </p>
      );
  }
}

function Hash({ of }: { of: string }) {
  return <code class="this-page-hash">{inGroups(of)}</code>;
}
