/** The families that have a model: `model_type` of a checkpoint's config.json → the file beside this one that exports its `model`. */
export const families: Readonly<Record<string, string>> = {
  llama: "llama.ts",
  mistral: "mistral.ts",
  mixtral: "mixtral.ts",
  olmoe: "olmoe.ts",
  qwen2: "qwen2.ts",
  qwen2_moe: "qwen2.ts",
  qwen3: "qwen3.ts",
  qwen3_moe: "qwen3.ts",
}
