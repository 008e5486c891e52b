// The turns of the conversation, on the page and as messages for the next call.

import { element, show } from "./refusals.js";

export class Conversation {
  #place;
  #turns = [];

  constructor(place) {
    this.#place = place;
  }

  get isEmpty() {
    return this.#turns.length === 0;
  }

  begin(question, model) {
    const turn = new Turn(question, model);
    this.#turns.push(turn);
    this.#place.append(turn.place);
    toTheEnd();
    return turn;
  }

  remove(turn) {
    this.#turns = this.#turns.filter((one) => one !== turn);
    turn.place.remove();
  }

  clear() {
    this.#turns = [];
    this.#place.replaceChildren();
  }

  // All turns up to the last question. Questions without an answer are left out.
  messages() {
    const last = this.#turns.at(-1);
    const answered = this.#turns.filter((turn) => turn === last || turn.answer);
    return answered.flatMap((turn) => [
      { role: "user", content: turn.question },
      ...(turn === last ? [] : [{ role: "assistant", content: turn.answer }]),
    ]);
  }
}

class Turn {
  #text;
  #note;
  #refusal;

  constructor(question, model) {
    this.question = question;
    this.answer = "";
    this.model = model;
    this.place = element("article", "turn");
    this.#text = element("div", "answer");
    this.#text.setAttribute("aria-busy", "true");
    this.#note = element("p", "note");
    this.#refusal = element("div", "");
    this.#refusal.setAttribute("role", "alert");
    const asked = element("div", "question", question);
    asked.prepend(element("h3", "unseen", "You asked"));
    this.place.append(asked, element("h3", "unseen", "Answer"), this.#text, this.#refusal, this.#note);
  }

  add(text) {
    this.answer += text;
    following(() => this.#text.append(text)); // a text node: nothing in an answer is ever read as HTML
  }

  end(how, { first, whole }) {
    this.#text.removeAttribute("aria-busy");
    const parts = [this.model];
    if (first !== null) parts.push(`first text after ${first.toFixed(1)} s`);
    parts.push(`${how === "stopped" ? "stopped" : "done"} after ${whole.toFixed(1)} s`);
    following(() => { this.#note.textContent = parts.join(" · "); });
  }

  refuse(refusal, again) {
    this.#text.removeAttribute("aria-busy");
    following(() => show(this.#refusal, refusal, again));
  }
}

// Run `change`, and keep the window at the end of the conversation if it was there before.
function following(change) {
  const atEnd = below() <= 40;
  change();
  if (atEnd) toTheEnd();
}

function toTheEnd() {
  window.scrollBy({ top: Math.max(0, below()) });
}

// Return the pixels of the conversation below the window.
function below() {
  return document.querySelector(".talk").getBoundingClientRect().bottom - window.innerHeight;
}
