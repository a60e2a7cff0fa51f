import { describe, expect, it } from "vitest";
import { newLink, pathOf, readLink, readPastedLink, toShare } from "./link";

const secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

describe("a link", () => {
  it("is read back from the address that it makes", () => {
    for (let i = 0; i < 50; i++) {
      const link = newLink();
      const [path = "", fragment = ""] = pathOf(link).split("#");
      expect(readLink(path, `#${fragment}`)).toEqual({ ok: true, link });
    }
  });

  it("is never the same twice", () => {
    const links = Array.from({ length: 200 }, newLink);
    expect(new Set(links.map((link) => link.room)).size).toBe(200);
    expect(new Set(links.map((link) => link.secret)).size).toBe(200);
  });

  it.each([
    ["/r/room", "", "no_secret"],
    ["/r/room", "#", "no_secret"],
    ["/r/room", `#${secret.slice(1)}`, "bad_secret"],
    ["/r/room", `#${secret}A`, "bad_secret"],
    ["/r/room", `#${secret.slice(1)}+`, "bad_secret"],
    ["/r/room", `#${secret.slice(1)}B`, "bad_secret"],
    ["/r/room", `#${secret}.`, "bad_secret"],
    ["/r/room", `#${secret}.${secret.slice(1)}`, "bad_secret"],
    ["/r/room", `#${secret}.${secret}.`, "bad_secret"],
    ["/r/room", `#.${secret}`, "no_secret"],
    ["/r/", `#${secret}`, "no_room"],
    ["/", `#${secret}`, "no_room"],
    ["/r/a%20b", `#${secret}`, "no_room"],
    [`/r/${"a".repeat(65)}`, `#${secret}`, "no_room"],
  ])("says what is wrong with %s%s", (path, fragment, problem) => {
    expect(readLink(path, fragment)).toEqual({ ok: false, problem });
  });

  it("keeps an invite, which is not for others", () => {
    const link = { room: "room", secret, invite: secret.replace("A", "B") };
    const path = pathOf(link);
    expect(path).toBe(`/r/room#${secret}.${link.invite}`);
    expect(readPastedLink(path)).toEqual({ ok: true, link });
    expect(pathOf(toShare(link))).toBe(`/r/room#${secret}`);
  });

  it("is found in what people paste", () => {
    const link = { room: "room", secret };
    for (const text of [
      `https://calls.example.org/r/room#${secret}`,
      `  http://localhost:8080/r/room#${secret}\n`,
      `/r/room#${secret}`,
      `<https://calls.example.org/r/room#${secret}>`,
    ]) {
      expect(readPastedLink(text)).toEqual({ ok: true, link });
    }
    expect(readPastedLink("hello")).toEqual({ ok: false, problem: "no_room" });
    expect(readPastedLink("http://[")).toEqual({ ok: false, problem: "no_room" });
  });
});
