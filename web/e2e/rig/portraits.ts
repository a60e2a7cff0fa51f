import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { promisify } from "node:util";
import type { Browser } from "puppeteer-core";
import { root } from "./server.ts";

/** How someone drawn looks. */
interface Looks {
  wall: [string, string];
  shirt: string;
  skin: string;
  hair: string;
  /** An SVG path around the head, behind it or on it. */
  hairBehind: string;
  hairInFront: string;
  /** What stands in the room. */
  room: string;
}

const looks: Record<string, Looks> = {
  Maya: {
    wall: ["#f2e3d0", "#d9b99b"],
    shirt: "#2f6f73",
    skin: "#b97a56",
    hair: "#2b1b17",
    hairBehind: "M515 330q-15-190 125-190t125 190q8 130 30 190h-310q22-60 30-190z",
    hairInFront: "M540 330q-5-145 100-147q105 2 102 147q-60-25-90-85q-30 65-112 85z",
    room: `<rect x="90" y="90" width="250" height="330" rx="8" fill="#bfe0ee"/>
      <path d="M90 330q70-90 130-30t120-50v170H90z" fill="#8fbf8a"/>
      <path d="M215 90v330M90 255h250" stroke="#fff8" stroke-width="12"/>
      <path d="M1060 560q-80-150 0-280q80 130 0 280M1060 560q60-120 140-150q-20 120-140 150M1060 560q-60-120-140-150q20 120 140 150" fill="#4c8a5a"/>
      <path d="M990 550h140l-20 170h-100z" fill="#c86b4a"/>`,
  },
  Jonas: {
    wall: ["#c9d6e3", "#8fa6bd"],
    shirt: "#b5473c",
    skin: "#f0c7a4",
    hair: "#a8702f",
    hairBehind: "M540 290q-10-140 100-140t100 140z",
    hairInFront: "M538 300q-5-120 102-125q107 5 102 125q-20-60-60-75q-70 25-110-5q-30 30-34 80z",
    room: `<g fill="#6b4e3a"><rect x="60" y="120" width="330" height="18"/><rect x="60" y="330" width="330" height="18"/></g>
      <g><rect x="80" y="190" width="34" height="140" fill="#c0504d"/><rect x="118" y="170" width="28" height="160" fill="#4f81bd"/>
      <rect x="150" y="205" width="40" height="125" fill="#e0b050"/><rect x="194" y="180" width="30" height="150" fill="#5b8f6a"/>
      <rect x="250" y="400" width="30" height="0"/><circle cx="310" cy="290" r="40" fill="#efe7da"/></g>
      <rect x="930" y="110" width="230" height="170" rx="6" fill="#f7f2e8"/><path d="M945 265l60-80 45 50 35-35 60 65z" fill="#7a94ad"/>`,
  },
  Aiko: {
    wall: ["#dcd3ea", "#a99ac6"],
    shirt: "#e8b23a",
    skin: "#f3d2b3",
    hair: "#1d1d24",
    hairBehind: "M525 400q-30-255 115-255t115 255q-115 40-230 0z",
    hairInFront: "M545 315q-5-120 95-125q100 5 95 125q-15-55-30-65q-70 14-130 0q-18 20-30 65z",
    room: `<circle cx="1040" cy="210" r="90" fill="#fff3c9"/><path d="M1040 300v270M970 570h140" stroke="#5a4b75" stroke-width="14"/>
      <rect x="110" y="130" width="180" height="240" rx="6" fill="#f8f4ff"/><circle cx="200" cy="250" r="55" fill="#d86a7a"/>`,
  },
};

/** The people who are drawn. */
export const sitters: string[] = Object.keys(looks);

function drawing({ wall, shirt, skin, hair, hairBehind, hairInFront, room }: Looks): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1280 720" width="1280" height="720">
    <linearGradient id="w" x2="1" y2="1"><stop stop-color="${wall[0]}"/><stop offset="1" stop-color="${wall[1]}"/></linearGradient>
    <rect width="1280" height="720" fill="url(#w)"/>${room}
    <path d="${hairBehind}" fill="${hair}"/>
    <path d="M330 720q10-190 190-225q60-12 80-60h80q20 48 80 60q180 35 190 225z" fill="${shirt}"/>
    <path d="M590 400h100v70q-50 60-100 0z" fill="${skin}"/><path d="M590 430q50 40 100 0v20q-50 45-100 0z" fill="#0002"/>
    <ellipse cx="640" cy="320" rx="96" ry="122" fill="${skin}"/>
    <path d="${hairInFront}" fill="${hair}"/>
    <g fill="#2a2020"><circle cx="603" cy="318" r="9"/><circle cx="677" cy="318" r="9"/></g>
    <path d="M585 292q18-14 36-2M659 290q18-12 36 2" fill="none" stroke="${hair}" stroke-width="8" stroke-linecap="round"/>
    <path d="M640 325q-10 28 4 32" fill="none" stroke="#0003" stroke-width="6" stroke-linecap="round"/>
    <path d="M603 382q37 34 74 0q-37 12-74 0z" fill="#fff" stroke="#9c4a44" stroke-width="6" stroke-linejoin="round"/>
    <g fill="#e0655533"><circle cx="575" cy="357" r="20"/><circle cx="705" cy="357" r="20"/></g>
  </svg>`;
}

/** Draws someone, and makes a recording of them for a camera to play. Returns its path. */
export async function portrait(name: string, browser: Browser): Promise<string> {
  const drawn = looks[name];
  if (!drawn) throw new Error(`Nobody has drawn ${name}`);
  const folder = `${root}/target/e2e`;
  await mkdir(folder, { recursive: true });
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 720 });
  await page.setContent(`<style>body{margin:0}</style>${drawing(drawn)}`);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.close();
  const film = `${folder}/${name}.mjpeg`;
  await promisify(execFile)("ffmpeg", [
    ...[
      "-loglevel",
      "error",
      "-y",
      "-loop",
      "1",
      "-framerate",
      "20",
      "-i",
      `${folder}/${name}.png`,
    ],
    ...["-vf", "crop=1200:675:x='40+12*sin(t*0.785)':y='22+8*cos(t*1.57)',scale=1280:720"],
    ...["-t", "8", "-q:v", "3", "-pix_fmt", "yuvj420p", film],
  ]);
  return film;
}
