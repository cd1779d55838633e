/** Plans of published checkpoints, compiled from nothing but their config.json (test/configs/). */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Compilation, type CompileOptions, compileProgram } from "../../compiler/compile.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import { long, seed } from "../laws/settings.js"
import { qwen3 } from "./driver.js"
import { root } from "./goldens.js"

export const configNames = ["qwen3-0.6b", "qwen3-1.7b", "qwen3-8b", "qwen3-30b-a3b", "qwen3-235b-a22b"] as const

/** One without experts and one with them, by the seed of the run; all in long ones. */
export const someConfigs: readonly ConfigName[] = long
  ? configNames
  : [configNames[seed % 3]!, configNames[3 + ((seed >> 2) % 2)]!]

/** What may be changed of the config, and options of data alone. */
type ConfigOptions = Omit<Partial<CompileOptions>, "storage" | "tuned" | "onWarning"> & {
  readonly config?: Readonly<Record<string, unknown>>
}

export type ConfigName = (typeof configNames)[number]

/** Compilations by what they were made of: test files share a process, and several ask for the same plans. They are only read. */
const compiled = new Map<string, Promise<Compilation>>()

export function compileConfig(
  name: ConfigName,
  target: ArtifactTarget,
  options: ConfigOptions = {},
): Promise<Compilation> {
  const key = JSON.stringify([name, target, options])
  const known = compiled.get(key) ?? compileOnce(name, target, options)
  compiled.set(key, known)
  return known
}

async function compileOnce(
  name: ConfigName,
  target: ArtifactTarget,
  { config: changes, ...options }: ConfigOptions,
): Promise<Compilation> {
  const config = JSON.parse(await readFile(join(root, "test", "configs", `${name}.json`), "utf8"))
  const program = (await qwen3()).configure({ ...config, ...changes })
  return compileProgram(program, "qwen3", { target, storage: () => "bf16", ...options })
}
