// Errors for the user: the error's own sentence, and advice.

const ADVICE = {
  authorization_required: "Sign out, and sign in again.",
  invalid_token: "The broker does not take this token. Sign out, and sign in as a user of its Supabase project.",
  token_expired: "The session has ended. Sign out, and sign in again.",
  invalid_temperature: "Choose a temperature between 0 and 1.",
  invalid_model: "Choose another model.",
  model_not_found: "Choose another model.",
  body_too_large: "Shorten the question, or start anew.",
  prompt_too_long: "Shorten the question, or start anew.",
  too_many_messages: "The conversation is too long. Start anew.",
  blocked: "Only the broker’s operator can change that.",
  anonymous_not_allowed: "Sign out, and sign in with an account of your own.",
  too_many_calls_in_flight: "Wait until an answer has ended, perhaps in another window, then try again.",
  context_length_exceeded: "The conversation is too long for this model. Start anew.",
  refused_by_openai: "Change the question, or start anew.",
  openai_refused: "Trying again will not help: the broker’s operator finds the cause in its log and in /ready.",
  insufficient_quota: "Trying again will not help until the broker’s operator has paid.",
  openai_timeout: "Try again. A shorter question may help.",
  internal_error: "Try again. If it stays, tell the broker’s operator the request’s id.",
};
const OPERATORS = new Set(["openai_refused", "insufficient_quota"]); // only the operator can mend these

// the limits that reset at 00:00 UTC; the error's own sentence names the limit
const OF_A_DAY = new Set(["daily_limit_exceeded", "daily_tokens_exceeded", "daily_spend_exceeded"]);

export class Refusal extends Error {
  constructor(sentence, advice, { status = 503, code = "", requestId = "" } = {}) {
    super(sentence);
    this.advice = advice;
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }

  get mayPass() {
    const isBusy = this.status === 429 && !OF_A_DAY.has(this.code);
    return isBusy || (this.status >= 500 && !OPERATORS.has(this.code));
  }

  // Read an error response: {"error": {"message": "<sentence>", "code": "<word>", …}}, or, from a proxy in front of
  // the broker, {"error": "<sentence>", "code": "<word>"}.
  static async from(response) {
    const body = await response.json().catch(() => ({}));
    const error = typeof body.error === "string" ? { message: body.error, code: body.code } : body.error ?? {};
    const sentence = error.message ?? `The broker answered with status ${response.status}`;
    const code = error.code ?? "";
    const advice = OF_A_DAY.has(code) ? tomorrow(error.resets_at) : ADVICE[code] ?? later(response);
    const requestId = response.headers.get("X-Request-Id") ?? "";
    return new Refusal(sentence, advice, { status: response.status, code, requestId });
  }

  static brokenOff() {
    return new Refusal("The answer broke off", "What stands above is all that came, and the call counts. Try again.");
  }

  // Turn any thrown error into a Refusal.
  static of(error) {
    if (error instanceof Refusal) return error;
    return new Refusal("The broker cannot be reached", "Check the connection, then try again.");
  }
}

function later(response) {
  if (response.status < 500 && response.status !== 429) return "Change the question, then try again.";
  const seconds = Number(response.headers.get("Retry-After"));
  return seconds > 0 ? `Try again in ${duration(seconds)}.` : "Try again in a moment.";
}

function tomorrow(resetsAt) {
  const time = new Date(resetsAt);
  if (Number.isNaN(time.getTime())) return "Come back tomorrow.";
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return `The next day begins in ${duration((time - Date.now()) / 1000)}, at ${clock} your time.`;
}

export function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (seconds < 90) return `${Math.ceil(seconds)} second${Math.ceil(seconds) === 1 ? "" : "s"}`;
  if (minutes < 90) return `${minutes} minutes`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Show the error in its place. A button calls `again` if a retry may help.
export function show(place, refusal, again = null) {
  const box = element("div", "refusal");
  box.append(element("p", "sentence", refusal.message), element("p", "advice", refusal.advice));
  if (refusal.requestId) box.append(element("p", "request-id", `Request ${refusal.requestId}`));
  if (again && refusal.mayPass) {
    const button = element("button", "quiet", "Try again");
    button.type = "button";
    button.addEventListener("click", again);
    box.append(button);
  }
  place.replaceChildren(box);
}

export function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
