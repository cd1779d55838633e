/** A reporter that ends a run with the files that took longest; WEFT_TIMES says how many. */
import type { Reporter, TestModule } from "vitest/node"

const count = Number(process.env.WEFT_TIMES ?? 0)

export const timeReport: Reporter = {
  onTestRunEnd(modules: readonly TestModule[]) {
    if (count === 0) return
    const took = modules.map((m) => {
      const { duration, collectDuration, setupDuration } = m.diagnostic()
      return { file: m.relativeModuleId, seconds: (duration + collectDuration + setupDuration) / 1000 }
    })
    took.sort((a, b) => b.seconds - a.seconds)
    const all = took.reduce((sum, t) => sum + t.seconds, 0)
    console.log(`\n${all.toFixed(0)} s in ${took.length} files, most of them in`)
    for (const { file, seconds } of took.slice(0, count)) console.log(`${seconds.toFixed(1).padStart(8)} s  ${file}`)
  },
}
