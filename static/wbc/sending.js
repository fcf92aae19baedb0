// One file on its way to the server by the tus protocol: found again or announced, sent in parts, finished.

const TUS = { "Tus-Resumable": "1.0.0" };
// Longer together than the server takes to notice a connection that fell silent (deploy/gunicorn.conf.py).
const RETRY_AFTER_MS = [1000, 2000, 4000, 8000, 15000, 30000];
const BUSY_MS = 2000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

// What the server said against it; without a status, nothing was heard from it.
export class Refusal extends Error {
  constructor(status, body) {
    const said = parsed(body)?.error;
    super(said?.message ?? "");
    this.status = status;
    this.code = said?.code ?? "";
    this.lost = !status || (status >= 500 && status !== 507);
    this.busy = status === 423;
    this.partly = ["offset", "incomplete"].includes(this.code);
    this.gone = [404, 410].includes(status);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // The page of a proxy: the status has to do.
  }
}

// `told` has progress(sentBytes), waiting(), failed(refusal), and arrived() for the last byte.
export class Sending {
  constructor(file, form, told) {
    const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
    Object.assign(this, { file, told, headers, endpoint: form.action, chunkSize: Number(form.dataset.chunkBytes) });
  }

  async start() {
    this.stopped = false;
    try {
      this.url ??= (await this.#found()) ?? (await this.#announced());
      if (this.discarded) await this.#ask("DELETE", this.url, TUS);
      else if (!this.stopped) this.#send();
    } catch (refusal) {
      if (!this.stopped) this.told.failed(refusal);
    }
  }

  stop() {
    this.stopped = true;
    return this.tus?.abort();
  }

  // What cannot be discarded now, for want of a connection, expires on the server.
  async discard() {
    this.discarded = true;
    await this.stop();
    if (this.url) await this.#ask("DELETE", this.url, TUS).catch(() => {});
  }

  // The server examines the file, for minutes if it is large; asked again, it gives the same answer.
  async finish() {
    for (let tries = 0; ; ) {
      try {
        return await (await this.#ask("POST", `${this.url}finish/`)).json();
      } catch (refusal) {
        if (!refusal.busy && !(refusal.lost && tries < RETRY_AFTER_MS.length)) throw refusal;
        await pause(refusal.busy ? BUSY_MS : RETRY_AFTER_MS[tries++]);
      }
    }
  }

  // The same file, begun earlier: in this browser, in another one, or by a colleague.
  async #found() {
    const { name, size } = this.file;
    const facts = { original_name: name, size_bytes: size, fingerprint: this.#fingerprint };
    const answer = await this.#ask("GET", `${this.endpoint}?${new URLSearchParams(facts)}`);
    return (await answer.json()).results[0]?.url;
  }

  async #announced() {
    const metadata = `filename ${base64(this.file.name)},fingerprint ${base64(this.#fingerprint)}`;
    const facts = { ...TUS, "Upload-Length": this.file.size, "Upload-Metadata": metadata };
    return (await this.#ask("POST", this.endpoint, facts)).headers.get("Location");
  }

  get #fingerprint() {
    return `${this.file.size}-${this.file.lastModified}`;
  }

  async #ask(method, url, facts = {}) {
    const answer = await fetch(url, { method, headers: { ...this.headers, ...facts } }).catch(() => null);
    if (answer?.ok) return answer;
    throw new Refusal(answer?.status, answer ? await answer.text() : "");
  }

  // Given the address and no endpoint, the client never begins anew where only an answer was lost.
  #send() {
    this.tus = new tus.Upload(this.file, {
      uploadUrl: new URL(this.url, location.href).href,
      chunkSize: this.chunkSize,
      retryDelays: RETRY_AFTER_MS,
      headers: this.headers,
      storeFingerprintForResuming: false,
      onProgress: (sentBytes) => this.told.progress(sentBytes),
      onShouldRetry: (error) => this.#mayRetry(refusalOf(error)),
      onError: (error) => this.#failed(refusalOf(error)),
      onSuccess: () => this.told.arrived(),
    });
    this.tus.start();
  }

  #mayRetry(refusal) {
    const passing = refusal.lost || refusal.busy || refusal.partly;
    if (passing) this.told.waiting();
    return passing;
  }

  #failed(refusal) {
    if (refusal.gone) this.url = undefined;
    this.told.failed(refusal);
  }
}

function refusalOf(error) {
  const answer = error.originalResponse;
  return new Refusal(answer?.getStatus(), answer?.getBody() ?? "");
}
