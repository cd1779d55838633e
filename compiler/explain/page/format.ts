/**
 * Numbers for people: three digits and a unit.
 *
 *   1438415364 bytes → 1.44 GB     2328151168 operations → 2.33 G     0.000316 s → 316 µs     1.6128 → 1.61
 */
const scaled = (value: number, units: readonly (readonly [factor: number, unit: string])[]): string => {
  const [factor, unit] = units.find(([f]) => Math.abs(value) >= f * 0.9995) ?? units.at(-1)!
  return `${digits(value / factor)}${unit === "" ? "" : `\u00a0${unit}`}`
}

/** Three digits, and no decimals that say nothing. */
export function digits(value: number): string {
  if (value === 0 || Math.abs(value) >= 999.5 || Number.isInteger(value))
    return Math.round(value).toLocaleString("en-US")
  return value.toPrecision(3)
}

export const bytesText = (bytes: number): string =>
  scaled(bytes, [
    [1e12, "TB"],
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
    [1, "B"],
  ])

export const countText = (count: number): string =>
  scaled(count, [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
    [1, ""],
  ])

export const timeText = (seconds: number): string =>
  scaled(seconds, [
    [1, "s"],
    [1e-3, "ms"],
    [1e-6, "µs"],
    [1e-9, "ns"],
  ])

export const percentText = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}\u00a0%`

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`
