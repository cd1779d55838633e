/**
 * Kernels that keep values in memory today, by model, precision and the entries that launch them: so many at most, and of no others.
 *
 * `spilled`: for lack of registers; `chosen`: arrays whose elements are chosen at run time. Where there are fewer now, the test says so, and the
 * number here goes down.
 *
 * What is left are levels of the online fold of a step, of which groups of eight scores have more; such a step was measured faster all the same. And
 * products deeper than 4,096 for GPUs of any kind (mma.sync, blocks of 128 × 128): as their sums are put aside, 168 to 220 bytes go to memory on sm_80
 * and sm_90a, none on sm_120. What that costs was not measured; an H100 takes wgmma, which keeps all.
 */
export interface Known {
  readonly spilled?: number
  readonly chosen?: number
}

export const known: Readonly<Record<string, Known>> = {
  "qwen3-8b fast step": { chosen: 1 },
  "qwen3-30b-a3b fast step": { chosen: 1 },
  "qwen3-1.7b fast prefill": { spilled: 1 },
  "qwen3-8b fast prefill": { spilled: 1 },
  "qwen3-8b fast prefill.512+logits": { spilled: 1 },
  "qwen3-235b-a22b fast prefill": { spilled: 1 },
  "qwen3-235b-a22b fast prefill.512+logits": { spilled: 1 },
  "llama-3.2-1b fast prefill": { spilled: 1 },
}
