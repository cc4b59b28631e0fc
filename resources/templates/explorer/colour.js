/** Colours that people with any colour vision can tell apart: dark blue to yellow (cividis), even in lightness. */

import { short } from "./study.js";
import { make } from "./text.js";

const STOPS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56],
];
export const MISSING = [128, 128, 128];

/** Red, green and blue (0 to 255) of a share of 0 to 1. */
export function ramp(share) {
  if (!(share >= 0)) return share < 0 ? STOPS[0] : MISSING;
  const place = Math.min(share, 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[low].map((from, i) => Math.round(from + (place - low) * (STOPS[low + 1][i] - from)));
}

export function css([red, green, blue]) {
  return `rgb(${red}, ${green}, ${blue})`;
}

/** Black or white, whichever is read better on a colour. */
export function ink(rgb) {
  const linear = rgb.map((value) => ((value / 255) <= 0.03928 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** A scale of colours between two numbers. */
export function drawScale(element, first, last) {
  const steps = Array.from({ length: 24 }, (_, n) => {
    const step = make("span");
    step.style.background = css(ramp(n / 23));
    return step;
  });
  element.replaceChildren(short(first), make("span", { class: "scale" }, ...steps), short(last));
}
