// The remaining calls of the day.

import { duration } from "./refusals.js";

export class Allowance {
  #session;
  #place = document.getElementById("allowance");
  #meter = document.getElementById("allowance-meter");
  #words = document.getElementById("allowance-words");

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
    const policy = headers?.get("RateLimit-Policy")?.match(/q=(\d+)/);
    const rest = headers?.get("RateLimit")?.match(/r=(\d+);t=(\d+)/);
    if (!policy || !rest) return;
    const [limit, left, seconds] = [policy[1], rest[1], rest[2]].map(Number);
    this.#place.hidden = false;
    this.#place.title = `The day ends in ${duration(seconds)} (00:00 UTC)`;
    this.#meter.ariaValueMax = limit;
    this.#meter.ariaValueNow = left;
    this.#meter.classList.toggle("low", left * 5 < limit);
    this.#meter.firstElementChild.style.width = `${limit ? (100 * left) / limit : 0}%`;
    this.#words.className = left === 0 ? "used-up" : "";
    this.#words.textContent = `${left} of ${limit} left today`;
  }

  forget() {
    this.#place.hidden = true;
  }
}
