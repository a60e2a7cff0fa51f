import { expect, it } from "vitest";
import { Chat } from "./chat";

const line = (text: string) => ({ name: "Ada", text, self: false, at: 0 });

it("counts what came while nobody looked", () => {
  const chat = new Chat();
  chat.add(line("one"));
  chat.add(line("two"));
  expect(chat.unread.value).toBe(2);
  chat.setOpen(true);
  expect(chat.unread.value).toBe(0);
  chat.add(line("three"));
  expect(chat.unread.value).toBe(0);
  chat.setOpen(false);
  expect(chat.unread.value).toBe(0);
  chat.add(line("four"));
  expect(chat.unread.value).toBe(1);
  expect(chat.lines.value.map(({ text }) => text)).toEqual(["one", "two", "three", "four"]);
});
