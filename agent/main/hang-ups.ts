/** SIGHUPs. One that arrives during the start is handled later. */
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
