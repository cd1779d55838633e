/**
 * Kernels that fail the law of latency.test.ts today, by shape, entry and kind. Each number is exact: whoever mends a schedule makes it smaller here.
 *
 * Products in chunks, and online folds, of many rows compute with single multiplications and additions, where the hardware has units for matrices.
 */

export type Kind = "product" | "online fold" | "other"

type Counts = Readonly<Partial<Record<Kind, number>>>

export const known: Readonly<Record<string, Readonly<Record<string, Counts>>>> = {
  "qwen3-0.6b": {
    prefill: { product: 4, "online fold": 1 },
    logits: { product: 4, "online fold": 1 },
  },
  "qwen3-1.7b": {
    prefill: { product: 3, "online fold": 1 },
  },
  "qwen3-8b": {
    prefill: { product: 1, "online fold": 1 },
  },
  "qwen3-30b-a3b": {
    prefill: { "online fold": 1, product: 2 },
    // With 8 scores to a group it is estimated slower than with 16, and was measured faster.
    step: { "online fold": 1 },
  },
  "qwen3-235b-a22b": {
    prefill: { product: 1 },
    step: { "online fold": 1 },
  },
  tales: {
    prefill: { product: 2, "online fold": 1 },
    logits: { product: 2, "online fold": 1 },
  },
  "heads of 64": {
    prefill: { product: 4, "online fold": 1 },
  },
  "heads of 96, one key head": {
    prefill: { product: 4, "online fold": 1 },
  },
  "few wide experts": {
    prefill: { "online fold": 1, product: 1 },
  },
  "llama-3.2-1b": {
    prefill: { "online fold": 1, product: 2 },
    logits: { "online fold": 1, product: 2 },
  },
  "gpt-2 small": {
    prefill: { product: 4, "online fold": 1 },
    logits: { product: 4, "online fold": 1 },
  },
}
