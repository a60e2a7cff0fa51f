import { expect, test } from "vitest";
import { asPicture, looksLikePicture } from "./pictures";

test("a picture is what begins like one, whatever it is called", async () => {
  const png = new Blob([Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0])]);
  expect((await asPicture(png))?.type).toBe("image/png");
  const svg = new Blob(['<svg xmlns="http://www.w3.org/2000/svg"/>'], { type: "image/png" });
  expect(await asPicture(svg)).toBeUndefined();
  expect(await asPicture(new Blob([]))).toBeUndefined();
});

test("only small pictures of known kinds are fetched unasked", () => {
  expect(looksLikePicture("image/png", 1000)).toBe(true);
  expect(looksLikePicture("image/svg+xml", 1000)).toBe(false);
  expect(looksLikePicture("image/png", 3 << 20)).toBe(false);
});
