// Saves the newest labels, one request at a time, and says so; never over what others wrote.

export class Saver {
  #revision;
  #newest = null; // labels that are not saved yet, as JSON
  #isBusy = false;

  /** Where to say what is saved, and what is wrong; `load` reads the file anew. */
  constructor(saved, problem, load) {
    this.saved = saved;
    this.problem = problem;
    problem.querySelector("#retry").onclick = () => this.#send();
    problem.querySelector("#overwrite").onclick = () => { this.#revision = null; this.#send(); };
    problem.querySelector("#load").onclick = () => { this.#newest = null; load(); };
    window.onbeforeunload = (event) => { if (this.#newest) event.preventDefault(); };
  }

  /** From now on it is this revision of the file that is replaced. */
  start(revision) {
    this.#revision = revision;
    this.#say("", "saved");
  }

  save(labels) {
    this.#newest = JSON.stringify(labels);
    this.#send();
  }

  /** Say what is wrong; `isChanged` if the file is not the one that was read. */
  fail(problem, isChanged = false) {
    this.#say(problem, "not saved");
    this.problem.querySelector("#retry").hidden = isChanged;
    this.problem.querySelector("#overwrite").hidden = !isChanged;
    this.problem.querySelector("#load").hidden = !isChanged;
  }

  async #send() {
    if (this.#isBusy || !this.#newest) return;
    this.#isBusy = true;
    this.saved.textContent = "saving …";
    try {
      while (this.#newest) {
        const sent = this.#newest;
        const body = `{"labels": ${sent}, "revision": ${JSON.stringify(this.#revision)}}`;
        const response = await fetch("labels", {
          method: "PUT", headers: { "Content-Type": "application/json" }, body,
        });
        const answer = await response.json();
        if (!response.ok) return this.fail(answer.error, response.status === 409);
        this.#revision = answer.revision;
        if (this.#newest === sent) this.#newest = null;
      }
      this.#say("", "saved");
    } catch (error) {
      this.fail(`The program does not answer: ${error.message}`);
    } finally {
      this.#isBusy = false;
    }
  }

  #say(problem, state) {
    this.problem.hidden = !problem;
    this.problem.querySelector("span").textContent = problem;
    this.saved.textContent = state;
  }
}
