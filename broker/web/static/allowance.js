// The remaining calls and tokens of the day.

import { duration } from "./refusals.js";

const LOW = 0.2; // of a limit: 80 % are used

class Bar {
  #place;
  #meter;
  #words;
  #unit;

  constructor(name, unit) {
    this.#place = document.getElementById(name);
    this.#meter = document.getElementById(`${name}-meter`);
    this.#words = document.getElementById(`${name}-words`);
    this.#unit = unit;
  }

  show(limit, left, seconds) {
    const isLow = left <= limit * LOW;
    this.#place.hidden = false;
    this.#place.title = `The day ends in ${duration(seconds)} (00:00 UTC)`;
    this.#meter.ariaValueMax = limit;
    this.#meter.ariaValueNow = left;
    this.#meter.classList.toggle("low", isLow);
    this.#meter.firstElementChild.style.width = `${limit ? (100 * left) / limit : 0}%`;
    this.#words.className = isLow ? "used-up" : "";
    this.#words.textContent = `${left} of ${limit} ${this.#unit} left today`;
  }

  hide() {
    this.#place.hidden = true;
  }
}

export class Allowance {
  #session;
  #bars = { daily: new Bar("allowance", "calls"), "daily-tokens": new Bar("allowance-tokens", "tokens") };

  constructor(session) {
    this.#session = session;
  }

  // Ask the broker, which costs no call.
  async ask() {
    const response = await fetch("v1/usage", { headers: this.#session.header }).catch(() => null);
    if (response?.ok) this.take(response.headers);
  }

  // https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/: `"daily";q=50;w=86400`, `"daily";r=49;t=3600`
  take(headers) {
    for (const [name, bar] of Object.entries(this.#bars)) {
      const policy = headers?.get("RateLimit-Policy")?.match(new RegExp(`"${name}";q=(\\d+)`));
      const rest = headers?.get("RateLimit")?.match(new RegExp(`"${name}";r=(\\d+);t=(\\d+)`));
      if (policy && rest) bar.show(...[policy[1], rest[1], rest[2]].map(Number));
    }
  }

  forget() {
    for (const bar of Object.values(this.#bars)) bar.hide();
  }
}
