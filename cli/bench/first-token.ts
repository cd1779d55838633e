/**
 * The time to the first token as a user waits for it: from the start of a process to the token, with and without a compiled model in the cache.
 *
 * Each is a process of its own, `weft bench --first-token`, whose cache is a folder that is empty the first time and thrown away after.
 */
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WeftError } from "../../runtime/errors.js"
import type { LoadedModel } from "../node.js"

/** Tokens of the prompt. */
const promptTokens = 16

/** Milliseconds from the start of this process to the first token of a short prompt. */
export async function firstToken(model: LoadedModel): Promise<number> {
  const prompt = Array.from(
    { length: Math.min(promptTokens, model.facts.context - 1) },
    (_, i) => i % model.facts.vocabulary,
  )
  await model.generate(prompt, { maxTokens: 1 })
  return performance.now()
}

export interface FirstToken {
  /** Milliseconds with an empty cache, and with what the first process left there. */
  readonly coldMs: number
  readonly warmMs: number
}

/**
 * @param args what this process was given after `bench`
 * @throws WeftError `cli/bench` when a process ends otherwise than with a time
 */
export async function measureFirstToken(args: readonly string[]): Promise<FirstToken> {
  const cache = await mkdtemp(join(tmpdir(), "weft-bench-"))
  const words = [process.argv[1]!, "bench", ...args.filter((arg) => arg !== "--json"), "--first-token"]
  const time = () =>
    new Promise<number>((resolve, reject) => {
      const env = { ...process.env, XDG_CACHE_HOME: cache }
      const child = spawn(process.execPath, [...process.execArgv, ...words], {
        env,
        stdio: ["ignore", "pipe", "pipe"],
      })
      let [said, told] = ["", ""]
      child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
      child.stderr.setEncoding("utf8").on("data", (text: string) => (told += text))
      child.on("error", reject)
      child.on("close", (code) => {
        const found = Number(said)
        if (code === 0 && found > 0) resolve(found)
        else {
          // What it says of the device has been said already.
          process.stderr.write(told)
          reject(new WeftError("cli/bench", `the process that measures the first token ended with ${code}`))
        }
      })
    })
  try {
    return { coldMs: await time(), warmMs: await time() }
  } finally {
    await rm(cache, { recursive: true, force: true })
  }
}
