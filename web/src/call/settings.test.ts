import { expect, it } from "vitest";
import { readSettings } from "./settings";

it("remembers what was chosen", () => {
  const text = JSON.stringify({ name: "Ada", cameraOn: false, quality: "saver" });
  expect(readSettings(text)).toMatchObject({ name: "Ada", cameraOn: false, quality: "saver" });
});

it.each([null, "", "{", "null", "[]", '{"name":1,"cameraOn":"no","quality":"toString"}'])(
  "falls back to the defaults on %j",
  (text) => {
    expect(readSettings(text)).toMatchObject({
      name: "",
      cameraOn: true,
      microphoneOn: true,
    });
  },
);

it("takes no quality that it does not know", () => {
  expect(readSettings('{"quality":"ultra"}').quality).toBe("high");
});

it("takes no number of tiles for which there is no page", () => {
  expect(readSettings('{"tiles":49}').tiles).toBe(49);
  expect(readSettings('{"tiles":1000}').tiles).toBe(25);
});
