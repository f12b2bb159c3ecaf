// Pictures of frames with their depth, fetched once and kept for a while.

const KEPT = 12;

export class Pictures {
  #found = new Map(); // number -> promise of what `get` gives

  /** {number, picture: ImageBitmap, depth: Uint16Array of mm} of a frame, or {number, problem}. */
  get(number) {
    if (!this.#found.has(number)) {
      this.#found.set(number, this.#fetch(number));
      if (this.#found.size > KEPT) this.#found.delete(this.#found.keys().next().value);
    }
    return this.#found.get(number);
  }

  async #fetch(number) {
    try {
      const png = await fetch(`frames/${number}.png`);
      if (!png.ok) return { number, problem: (await png.json()).error };
      const depth = await fetch(`frames/${number}.depth`);
      return {
        number,
        picture: await createImageBitmap(await png.blob()),
        depth: new Uint16Array(await depth.arrayBuffer()),
      };
    } catch (error) {
      this.#found.delete(number); // to be tried again
      return { number, problem: `the program does not answer: ${error.message}` };
    }
  }
}
