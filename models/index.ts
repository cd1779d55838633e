/** The families that have a model: `model_type` of a checkpoint's config.json → the file beside this one that exports its `model`. */
export const families: Readonly<Record<string, string>> = {
  qwen3: "qwen3.ts",
  qwen3_moe: "qwen3.ts",
}
