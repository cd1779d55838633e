/**
 * A model of the Hugging Face Hub by its name, and what the usual variables say of the Hub.
 *
 *     Qwen/Qwen3-0.6B             the branch main, unless there is a folder Qwen here
 *     Qwen/Qwen3-0.6B@v1.0        a branch, a tag or a commit
 *     Qwen/Qwen3-0.6B-GGUF:Q8_0   a GGUF file by a part of its name, or by all of it: Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf
 *
 * HF_ENDPOINT, HF_HUB_CACHE (or HF_HOME, XDG_CACHE_HOME), HF_TOKEN (or the file that `hf auth login` writes), HF_HUB_OFFLINE.
 */
import { existsSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

export interface Repository {
  /** `org/name`. */
  readonly name: string
  readonly revision: string
  /** The path of a GGUF file. */
  readonly file?: string
  /** A part of the name of one, such as `Q4_K_M`. */
  readonly label?: string
}

export interface Hub {
  readonly endpoint: string
  readonly cache: string
  readonly token: string | undefined
  readonly isOffline: boolean
}

const part = "[A-Za-z0-9][A-Za-z0-9._-]*"
const chosen = `(?::([A-Za-z0-9_.-]+)|/([A-Za-z0-9][A-Za-z0-9._/ -]*\\.gguf))?`
const pattern = new RegExp(`^(${part}/${part})${chosen}(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?$`)

/**
 * Undefined for what is no name of the Hub's: a path, whose folder or that around it is there, or one that no name can be. With a revision or a
 * label it is always a name.
 */
export function repositoryOf(source: string): Repository | undefined {
  const [, name, label, file, revision] = pattern.exec(source) ?? []
  if (name === undefined || /\.\.|--|\.(git|ipynb|gguf)$/.test(name) || /\.\.|\/\/|\/$/.test(revision ?? ""))
    return undefined
  if (/\.\.|\/\//.test(file ?? "")) return undefined
  if (revision === undefined && label === undefined && existsSync(name.split("/")[0]!)) return undefined
  return {
    name,
    revision: revision ?? "main",
    ...(file !== undefined && { file }),
    ...(label !== undefined && { label }),
  }
}

type Environment = Readonly<Record<string, string | undefined>>

export function hubOf(environment: Environment = process.env): Hub {
  const home = environment.HF_HOME ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface")
  return {
    endpoint: (environment.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, ""),
    cache: environment.HF_HUB_CACHE ?? environment.HUGGINGFACE_HUB_CACHE ?? join(home, "hub"),
    token: tokenOf(environment, home),
    isOffline: /^(1|on|yes|true)$/i.test(environment.HF_HUB_OFFLINE ?? ""),
  }
}

function tokenOf(environment: Environment, home: string): string | undefined {
  const said = environment.HF_TOKEN ?? environment.HUGGING_FACE_HUB_TOKEN
  if (said !== undefined) return said.trim() || undefined
  try {
    return readFileSync(environment.HF_TOKEN_PATH ?? join(home, "token"), "utf8").trim() || undefined
  } catch {
    return undefined
  }
}
