/**
 * Kernels that keep values in memory today, by model, precision and the entries that launch them: so many at most, and of no others.
 *
 * `spilled`: for lack of registers; `chosen`: arrays whose elements are chosen at run time. Where there are fewer now, the test says so, and the
 * number here goes down.
 */
export interface Known {
  readonly spilled?: number
  readonly chosen?: number
}

export const known: Readonly<Record<string, Known>> = {
  "qwen3-0.6b fast prefill+logits": { spilled: 1, chosen: 1 },
  "qwen3-1.7b fast prefill+logits": { chosen: 1 },
  "qwen3-8b fast prefill+logits": { chosen: 2 },
  "qwen3-30b-a3b fast prefill+logits": { chosen: 1 },
  "qwen3-235b-a22b fast prefill+logits": { chosen: 2 },
  "qwen3-235b-a22b fast step": { chosen: 1 },
  "llama-3.2-1b fast prefill+logits": { chosen: 2 },
}
