/** What `weft quantize --to` may be; `types.ts` says which type each tensor gets then. */
export const targets = ["q4_k", "q6_k", "q8_0", "mixed"] as const
export type Target = (typeof targets)[number]
