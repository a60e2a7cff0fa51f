/** Digits to read to each other, in groups; screen readers say them one by one. */
export function Digits({ of, label }: { of: string; label: string }) {
  return (
    <ol class="digits" aria-label={label} data-digits={of}>
      {of.split(" ").map((group, place) => (
        <li key={place}>
          <span aria-hidden="true">{group}</span>
          <span class="unseen">{[...group].join(" ")}</span>
        </li>
      ))}
    </ol>
  );
}
