/** What the runtime needs to know of a checkpoint besides its tensors. */
export interface Facts {
  /** The largest number of tokens, prompt and answer together. */
  readonly context: number
  /** The number of logits. */
  readonly vocabulary: number
  /** Tokens that end an answer. */
  readonly endTokens: readonly number[]
  /** What `defineModel` says of the names in a checkpoint. */
  readonly ignore?: readonly string[]
  readonly alternatives?: Readonly<Record<string, readonly string[]>>
}
