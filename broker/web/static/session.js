// The signed-in user. Kept in memory only; nothing is stored in the browser.

import { Refusal } from "./refusals.js";

export class Session {
  #supabaseUrl;
  #key;
  #accessToken = null;
  #refreshToken = null;
  #end = new AbortController(); // of requests to Supabase, whose late answers would sign in the wrong user

  constructor({ supabase_url: supabaseUrl, anon_key: anonKey }) {
    this.#supabaseUrl = supabaseUrl;
    this.#key = anonKey;
    this.who = "";
  }

  get header() {
    return { Authorization: `Bearer ${this.#accessToken}` };
  }

  usePasted(token) {
    const pasted = token.trim().replace(/^Bearer\s+/i, "");
    if (!pasted) throw new Refusal("No token was given", "Paste the access token of a signed-in user.");
    this.#accessToken = pasted;
    this.#refreshToken = null;
    this.who = whom(pasted);
  }

  async signIn(email, password, key) {
    if (!email || !password) throw new Refusal("Email and password are needed", "Fill in both, then sign in.");
    this.#key = key.trim() || this.#key;
    if (!this.#key) throw new Refusal("The project’s public key is needed", "Fill it in, or use an access token instead.");
    await this.#grant("password", { email, password });
  }

  // Whether there is a new access token now, in place of one that has expired.
  async renew() {
    if (!this.#refreshToken) return false;
    try {
      await this.#grant("refresh_token", { refresh_token: this.#refreshToken });
      return true;
    } catch {
      return false;
    }
  }

  end() {
    this.#end.abort();
    this.#end = new AbortController();
    this.#accessToken = this.#refreshToken = null;
    this.who = "";
  }

  // https://github.com/supabase/auth: POST /token
  async #grant(type, body) {
    const answer = await this.#post(`${this.#supabaseUrl}/auth/v1/token?grant_type=${type}`, body);
    const read = await answer.json().catch(() => ({}));
    if (answer.status >= 500) throw supabaseAway(this.#supabaseUrl);
    if (!answer.ok) throw refused(read);
    if (!read.access_token) throw supabaseAway(this.#supabaseUrl);
    this.#accessToken = read.access_token;
    this.#refreshToken = read.refresh_token ?? null;
    this.who = read.user?.email || read.user?.id || whom(read.access_token);
  }

  async #post(url, body) {
    try {
      return await fetch(url, {
        method: "POST",
        headers: { apikey: this.#key, "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.any([AbortSignal.timeout(15_000), this.#end.signal]),
      });
    } catch {
      throw supabaseAway(this.#supabaseUrl);
    }
  }
}

function supabaseAway(url) {
  return new Refusal("Supabase cannot sign anyone in at present", `No good answer came from ${url}. Try again in a moment.`);
}

function refused(body) {
  const sentence = body.msg || body.message || body.error_description || "Supabase refused the sign-in";
  const wrongKey = /api ?key/i.test(sentence);
  return new Refusal(sentence, wrongKey ? "Check the project’s public key." : "Check email and password, then try again.");
}

// Return the email, or else the id, in an unverified token; empty if it is no token.
function whom(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (char) => char.charCodeAt(0))));
    return claims.email || claims.sub || "";
  } catch {
    return "";
  }
}
