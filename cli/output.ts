/**
 * What the command line says, and where: results on standard output, everything else on standard error.
 */
import { basename } from "node:path"
import { WeftError } from "../runtime/errors.js"
import { terminalText } from "../runtime/text/terminal.js"
import { UsageError } from "./arguments.js"
import type { PullProgress } from "./hub/pull.js"
import type { LoadProgress } from "./options.js"

/** Ends quietly when the reader of a pipe has gone, and with one line when nothing more can be written. */
export function quietPipes(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0)
      if (stream === process.stdout) say(`weft: the output cannot be written: ${error.message}`)
      process.exit(1)
    })
}

/** Writes a result, to a terminal without what would steer it, and grey where it is asked for; resolves when the stream takes more. */
export function write(text: string, colour?: "grey"): Promise<void> {
  const shown = process.stdout.isTTY ? terminalText(text) : text
  const isGrey = colour === "grey" && process.stdout.isTTY && !process.env.NO_COLOR
  return new Promise((resolve) => {
    if (process.stdout.write(isGrey ? `\x1b[90m${shown}\x1b[39m` : shown)) resolve()
    else process.stdout.once("drain", resolve)
  })
}

/** A line for people. */
export function say(line: string): void {
  process.stderr.write(`${terminalText(line)}\n`)
}

/** "1 kernel", "2 kernels". */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** Progress on one line of a terminal, wiped when `done` is called; nothing where standard error is not a terminal. */
export function createProgress(): { readonly show: (text: string) => void; readonly done: () => void } {
  const { isTTY, columns } = process.stderr
  let shown = ""
  const put = (text: string) => {
    if (!isTTY || text === shown) return
    process.stderr.write(`\r\x1b[K${text.slice(0, (columns || 80) - 1)}`)
    shown = text
  }
  return { show: put, done: () => shown !== "" && put("") }
}

/** What a download has come to, with what came in the last seconds. */
export function showDownload(progress: Pick<ReturnType<typeof createProgress>, "show">): (step: PullProgress) => void {
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2)
  let seen: readonly { readonly at: number; readonly done: number }[] = []
  return ({ file, done, total }) => {
    const at = performance.now()
    if (at - (seen.at(-1)?.at ?? 0) < 200 && done < total) return
    seen = [...seen.filter((s) => at - s.at < 5000), { at, done }]
    const [first] = seen
    const rate = at > first!.at ? `, ${((done - first!.done) / (at - first!.at) / 1e3).toFixed(1)} MB/s` : ""
    progress.show(`fetching ${file}: ${gigabytes(done)} of ${gigabytes(total)} GB${rate}`)
  }
}

/** The reader of `load`'s progress: one line about the device, the rest on the progress line. */
export function loadReporter(progress: ReturnType<typeof createProgress>): (step: LoadProgress) => void {
  const download = showDownload(progress)
  return (step) => {
    if (step.stage === "device") {
      progress.done()
      say(`weft: ${step.description} (${step.reason})`)
    } else if (step.stage === "warning") {
      progress.done()
      say(`weft: ${step.message}`)
    } else if (step.stage === "download") download(step)
    else if (step.stage === "compile") progress.show(`compiling ${basename(step.model)} …`)
    else progress.show(`loading weights ${Math.floor((100 * step.done) / Math.max(1, step.total))} %`)
  }
}

/** One line and 2 for wrong arguments; message and hint and 1 for what Weft refuses; a stack, too, for what is our own fault. */
export function report(error: unknown): number {
  if (error instanceof UsageError) {
    say(`weft: ${error.message}; see weft --help`)
    return 2
  }
  if (error instanceof WeftError) say(`weft: ${error.code === "weft/fault" ? error.stack : error.message}`)
  else say(`weft: this is a mistake in Weft itself\n${error instanceof Error ? error.stack : String(error)}`)
  return 1
}
