import { expect, test } from "vitest";
import { fitName, ofSize } from "./names";

test("names lose what would mislead, and keep their ending when they are cut", () => {
  expect(fitName("report.pdf")).toBe("report.pdf");
  expect(fitName("photo\u202egpj.exe")).toBe("photo_gpj.exe");
  expect(fitName("a/b\\c\n")).toBe("a_b_c_");
  expect(fitName("..")).toBe("file");
  expect(fitName("")).toBe("file");
  const long = fitName(`${"ä".repeat(300)}.tar.gz`);
  expect([...long]).toHaveLength(255);
  expect(long.endsWith(".gz")).toBe(true);
});

test("sizes are told in the unit that fits", () => {
  expect(ofSize(0)).toBe("0 bytes");
  expect(ofSize(999)).toBe("999 bytes");
  expect(ofSize(1_500)).toBe("1.5 kB");
  expect(ofSize(999_600)).toBe("1.0 MB");
  expect(ofSize(250_000_000)).toBe("250 MB");
  expect(ofSize(10_000_000_000)).toBe("10.0 GB");
});
