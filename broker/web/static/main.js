// The page's event handlers.

import { Allowance } from "./allowance.js";
import { Answering } from "./answers.js";
import { Conversation } from "./conversation.js";
import { Refusal, show } from "./refusals.js";
import { Session } from "./session.js";
import { Snippet } from "./snippets.js";

const at = (id) => document.getElementById(id);

const settings = await (await fetch("playground/settings.json")).json(); // a failure leaves the page's notice
at("notice").remove();
const session = new Session(settings);
const allowance = new Allowance(session);
const conversation = new Conversation(at("turns"));
const snippet = new Snippet(at("code"));
let answering = null;

function chosen() {
  return { model: at("model").value, temperature: Number(at("temperature").value) };
}

function say(words) {
  at("status").textContent = words; // read out by screen readers
}

// --- signing in and out

function showSignIn() {
  at("sign-in").hidden = false;
  at("desk").hidden = at("account").hidden = true;
  chooseWay();
  at(way() === "password" ? "email" : "token").focus();
}

function showDesk() {
  at("sign-in").hidden = true;
  at("desk").hidden = at("account").hidden = false;
  at("who").textContent = session.who;
  at("question").focus();
  refreshSnippet();
  allowance.forget();
  allowance.ask();
}

function way() {
  return document.querySelector("[name=way]:checked").value;
}

function chooseWay() {
  at("by-password").hidden = way() !== "password";
  at("by-token").hidden = way() !== "token";
  at("key-field").hidden = Boolean(settings.anon_key);
  at("sign-in-refusal").replaceChildren();
}

async function signIn(event) {
  event.preventDefault();
  at("sign-in-refusal").replaceChildren();
  at("sign-in-button").disabled = true;
  try {
    if (way() === "token") session.usePasted(at("token").value);
    else await session.signIn(at("email").value, at("password").value, at("key").value);
    at("password").value = at("token").value = "";
    showDesk();
  } catch (error) {
    show(at("sign-in-refusal"), Refusal.of(error));
  } finally {
    at("sign-in-button").disabled = false;
  }
}

function signOut() {
  answering?.stop();
  session.end();
  startAnew();
  allowance.forget();
  showSignIn();
}

// --- asking

async function ask(question) {
  if (answering) return;
  const turn = conversation.begin(question, chosen().model);
  answering = new Answering(session, { messages: conversation.messages(), ...chosen() });
  showBusy(true);
  say("Answering");
  try {
    for await (const text of answering.texts()) turn.add(text);
    turn.end(answering.stopped ? "stopped" : "whole", answering.timing());
    say(answering.stopped ? "Stopped" : `Answer: ${turn.answer}`);
  } catch (error) {
    turn.refuse(Refusal.of(error), () => askAgain(turn));
    say("");
  } finally {
    allowance.take(answering.headers);
    allowance.ask(); // a stream's headers show what was reserved, not what it took
    answering = null;
    showBusy(false);
  }
}

function askAgain(turn) {
  if (answering) return;
  conversation.remove(turn);
  at("question").focus();
  ask(turn.question);
}

function showBusy(busy) {
  at("stop").hidden = !busy;
  at("send").hidden = busy;
  at("empty").hidden = !conversation.isEmpty;
  at("anew").hidden = busy || conversation.isEmpty;
  if (document.activeElement === document.body) at("question").focus();
  refreshSnippet();
}

function send(event) {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question || answering) return;
  at("question").value = "";
  grow();
  ask(question);
}

function startAnew() {
  answering?.stop();
  conversation.clear();
  at("empty").hidden = false;
  at("anew").hidden = true;
  say("");
  refreshSnippet();
  at("question").focus();
}

function grow() {
  const field = at("question");
  field.style.height = ""; // through the CSSOM, which the Content-Security-Policy allows
  if (field.value) field.style.height = `${field.scrollHeight + 2}px`;
}

function refreshSnippet() {
  const kind = document.querySelector("[name=with]:checked").value;
  const messages = conversation.isEmpty ? [{ role: "user", content: at("question").value.trim() || "Hello!" }] : conversation.messages();
  snippet.show(kind, { messages: messages.slice(-1), ...chosen() });
}

async function copy() {
  await navigator.clipboard.writeText(snippet.text);
  at("copy").textContent = "Copied";
  say("Copied");
  setTimeout(() => { at("copy").textContent = "Copy"; }, 1500);
}

// --- event listeners

for (const name of settings.models) at("model").append(new Option(name));
for (const radio of document.querySelectorAll("[name=way]")) radio.addEventListener("change", chooseWay);
for (const radio of document.querySelectorAll("[name=with]")) radio.addEventListener("change", refreshSnippet);
for (const example of document.querySelectorAll("#examples button")) {
  example.addEventListener("click", () => { at("question").focus(); ask(example.textContent); });
}
at("sign-in-form").addEventListener("submit", signIn);
at("sign-out").addEventListener("click", signOut);
at("question-form").addEventListener("submit", send);
at("stop").addEventListener("click", () => { answering?.stop(); at("question").focus(); });
at("anew").addEventListener("click", startAnew);
at("copy").addEventListener("click", copy);
at("model").addEventListener("change", refreshSnippet);
at("temperature").addEventListener("input", () => {
  at("temperature-shown").textContent = chosen().temperature.toFixed(1);
  refreshSnippet();
});
at("question").addEventListener("input", () => { grow(); refreshSnippet(); });
at("question").addEventListener("keydown", (event) => {
  const typing = event.isComposing || event.shiftKey; // Enter ends a Japanese word, too
  if (event.key === "Enter" && !typing) send(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") answering?.stop();
});

showSignIn();
