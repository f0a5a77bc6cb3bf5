/** SIGHUPs. One that comes while the agent starts is answered when it can be. */
export class HangUps {
  #answer: (() => void) | null = null
  #early = false

  heard(): void {
    if (this.#answer) this.#answer()
    else this.#early = true
  }

  answer(answer: () => void): void {
    this.#answer = answer
    if (this.#early) answer()
    this.#early = false
  }
}
