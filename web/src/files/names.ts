/** What files are called. */

const LONGEST = 255;
/** As `e2ee/src/file/shared.rs`: what divides paths, turns letters around, or is not seen. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNFIT = /[\u0000-\u001f\u007f-\u009f/\\\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/** A name that the others take. */
export function fitName(name: string): string {
  const letters = [...name.replace(UNFIT, "_")];
  const [bare, ending] = [letters.slice(0, LONGEST), letters.slice(-20)];
  // The ending says what it is: it stays when the name is cut.
  const dot = ending.lastIndexOf(".");
  const cut =
    letters.length > LONGEST && dot >= 0
      ? [...letters.slice(0, LONGEST - ending.length + dot), ...ending.slice(dot)]
      : bare;
  const fit = cut.join("");
  return fit === "" || fit === "." || fit === ".." ? "file" : fit;
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** A size for people, in powers of ten as their file managers have it. */
export function ofSize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}
