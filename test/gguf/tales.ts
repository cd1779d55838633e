/** The shipped checkpoint's tokenizer as a converter writes it. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Datum } from "../support/gguf.js"
import { root } from "../support/goldens.js"

export const tales: string = readFileSync(join(root, "models/tales/tokenizer.json"), "utf8")
const json = JSON.parse(tales)
export const talesTokens: string[] = []
for (const [token, id] of Object.entries<number>(json.model.vocab)) talesTokens[id] = token
for (const { id, content } of json.added_tokens) talesTokens[id] = content
export const tokenTypes = { normal: 1, control: 3, user: 4, unused: 5 } as const

/** The metadata that a converter writes for tales, with some of them changed or, by undefined, left out. */
export function talesWith(changes: Readonly<Record<string, Datum | undefined>> = {}): [string, Datum][] {
  const all: Record<string, Datum | undefined> = {
    "general.architecture": "qwen3moe",
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": { strings: talesTokens },
    "tokenizer.ggml.token_type": {
      i32s: talesTokens.map((_, id) => (id < 4093 ? tokenTypes.normal : tokenTypes.control)),
    },
    "tokenizer.ggml.merges": {
      strings: json.model.merges.map((m: string | string[]) => (Array.isArray(m) ? m.join(" ") : m)),
    },
    "tokenizer.ggml.eos_token_id": 4093,
    "tokenizer.ggml.bos_token_id": 4094,
    ...changes,
  }
  return Object.entries(all).filter((pair): pair is [string, Datum] => pair[1] !== undefined)
}
