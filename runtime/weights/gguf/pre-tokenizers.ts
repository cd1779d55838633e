/**
 * How text is cut before it is merged, by the names that GGUF has for it (`tokenizer.ggml.pre`). Files say the name only, so what a tokenizer.json
 * would say besides stands here: its normal form, and whether whole tokens are taken before merges are tried.
 *
 * Sources: `llama-vocab.cpp` and `conversion/base.py` of llama.cpp, which names the tokenizers that its names stand for, and their tokenizer.json.
 */
import { knownPatterns } from "../../text/pieces.js"

export interface PreTokenizer {
  /** Of `knownPatterns`. */
  readonly pattern: string
  /** Each digit is cut off first. */
  readonly digits?: true
  readonly normalizer?: "NFC"
  readonly ignoreMerges?: true
  /** Whether a text begins with the token for that where the file does not say. */
  readonly begins?: true
}

const pattern = (family: string): string => knownPatterns[family]!

export const preTokenizers: Readonly<Record<string, PreTokenizer>> = {
  "gpt-2": { pattern: pattern("GPT-2") },
  // Cut as GPT-2's, after GPT-NeoX's normal form.
  olmo: { pattern: pattern("GPT-2"), normalizer: "NFC" },
  qwen2: { pattern: pattern("Qwen2"), normalizer: "NFC" },
  "llama-bpe": { pattern: pattern("Llama 3"), ignoreMerges: true, begins: true },
  "smaug-bpe": { pattern: pattern("Llama 3") },
  tekken: { pattern: pattern("Tekken"), ignoreMerges: true, begins: true },
  smollm: { pattern: pattern("GPT-2"), digits: true },
}

/** Other names for the same. DeepSeek's distilled Qwen has Qwen's tokenizer with other special tokens. */
export const preTokenizerNames: Readonly<Record<string, string>> = {
  llama3: "llama-bpe",
  "llama-v3": "llama-bpe",
  "deepseek-r1-qwen": "qwen2",
}
