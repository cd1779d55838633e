/**
 * weft pull: the newest snapshot of a checkpoint of the Hugging Face Hub; its folder or its GGUF file, on standard output.
 *
 *     weft pull Qwen/Qwen3-0.6B
 *     weft pull Qwen/Qwen3-0.6B-GGUF:Q8_0
 */
import { parse, UsageError } from "./arguments.js"
import { flagsOf } from "./commands.js"
import { pull as pullFrom } from "./hub/pull.js"
import { repositoryOf } from "./hub/repository.js"
import { createProgress, say, showDownload, write } from "./output.js"

export async function pull(args: readonly string[]): Promise<number> {
  const { words } = parse(args, flagsOf("pull"))
  const [name] = words
  if (words.length !== 1) throw new UsageError("one name is expected, such as weft pull Qwen/Qwen3-0.6B")
  const repository = repositoryOf(name!)
  if (repository === undefined)
    throw new UsageError(
      `${JSON.stringify(name)} is no name on the Hub, such as Qwen/Qwen3-0.6B or Qwen/Qwen3-0.6B@main`,
    )
  const progress = createProgress()
  try {
    const show = showDownload(progress)
    const folder = await pullFrom(repository, { onProgress: show })
    progress.done()
    if (process.stderr.isTTY) say("weft: the checkpoint is in")
    await write(`${folder}\n`)
    return 0
  } finally {
    progress.done()
  }
}
