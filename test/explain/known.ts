/**
 * What fails the law of latency.test.ts today, by shape and entry: how many kernels are slow, and which entries compute more than a quarter above what is
 * needed. Each number is exact: whoever mends a schedule makes it smaller here.
 */
export interface Known {
  readonly slow: Readonly<Record<string, number>>
  readonly repeats?: readonly string[]
}

export const known: Readonly<Record<string, Known>> = {
  "qwen3-0.6b": {
    slow: {
      prefill: 5,
      logits: 5,
      sample: 4,
    },
  },
  "qwen3-1.7b": {
    slow: {
      prefill: 4,
    },
  },
  "qwen3-8b": {
    slow: {
      prefill: 2,
    },
  },
  "qwen3-30b-a3b": {
    slow: {
      prefill: 4,
    },
  },
  "qwen3-235b-a22b": {
    slow: {
      prefill: 2,
      step: 1,
    },
  },
  tales: {
    slow: {
      prefill: 5,
      step: 1,
      logits: 5,
    },
  },
  "heads of 64": {
    slow: {
      prefill: 5,
    },
  },
  "heads of 96, one key head": {
    slow: {
      prefill: 5,
    },
  },
  "few wide experts": {
    slow: {
      prefill: 4,
    },
  },
  "llama-3.2-1b": {
    slow: {
      prefill: 3,
      logits: 3,
      sample: 3,
    },
  },
  "gpt-2 small": {
    slow: {
      prefill: 5,
      step: 2,
      logits: 5,
      sample: 3,
    },
  },
}
