// What the story needs of a browser: pages that note every request and dialog, axe, keys, and a line to the test.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** Asks the test to do something outside the browser, and waits until it is done. */
export async function ask(what) {
  process.stdout.write(`ask ${what}\n`);
  const { value } = await lines.next();
  must(value === "done", `the test answered ${value} to ${what}`);
}

/** Says where the story is. */
export function step(text) {
  process.stdout.write(`step ${text}\n`);
}

/** Tells the test a value of the story. */
export function note(name, value) {
  process.stdout.write(`note ${name} ${value}\n`);
}

/** Ends the story: what may not happen and did is told. */
export function tell(faults) {
  for (const fault of faults) process.stdout.write(`fault ${fault.replaceAll("\n", " ")}\n`);
  process.exit(faults.length ? 1 : 0);
}

export async function launch(executablePath) {
  return chromium.launch({
    executablePath,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** One person's browser, entered through the one-time address; `faults` gets what may not happen. */
export async function person(browser, url, faults, options = {}) {
  const origin = new URL(url).origin;
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  context.setDefaultTimeout(30000);
  context.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) faults.push(`a request to ${request.url()}`);
  });
  context.on("dialog", (dialog) => { faults.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  context.on("weberror", (error) => faults.push(`an error in a page: ${error.error()}`));
  context.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource|ERR_/.test(message.text())) {
      faults.push(`${message.page()?.url()}: ${message.text()}`);
    }
  });
  const page = await context.newPage();
  if (url.includes("/enter?")) {
    await page.goto(url);
    await page.waitForURL(`${origin}/`);
    await page.waitForSelector("nav");
  }
  return { context, page, origin };
}

/** No serious or critical fault of accessibility, in light and in dark. */
export async function accessible(page, name, faults) {
  // Its style must be there.
  await page.waitForLoadState();
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const fault of found.violations.filter((v) => ["serious", "critical"].includes(v.impact))) {
      const where = fault.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`).join("; ");
      faults.push(`${name} (${colorScheme}): ${fault.id}: ${fault.help}: ${where}`);
    }
  }
}

/** Nothing of the hostile strings ran, and they are shown as what they are. */
export async function inert(page, name, faults, texts) {
  const ran = await page.evaluate(() => globalThis.__ran !== undefined || document.querySelector("img, iframe, main script") !== null);
  if (ran) faults.push(`${name}: something of a hostile string became part of the page`);
  const text = await page.evaluate(() => document.body.textContent);
  if (/[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u0007\u001b]/.test(text)) faults.push(`${name}: a steering character is in the page`);
  for (const shown of texts) {
    if (!text.includes(shown)) faults.push(`${name} does not show ${shown}`);
  }
}

/** Moves by Tab alone until `selector` has the focus, which must be seen. */
export async function tabTo(page, selector) {
  for (let n = 0; n < 200; n += 1) {
    await page.keyboard.press("Tab");
    const seen = await page.evaluate((wanted) => {
      const focused = document.activeElement;
      if (!focused?.matches(wanted)) return null;
      const style = getComputedStyle(focused);
      return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    }, selector);
    if (seen !== null) {
      must(seen, `the focus on ${selector} can't be seen`);
      return;
    }
  }
  throw new Error(`${selector} is not reached by Tab`);
}

/** Looks pages over, and takes their pictures where pictures are wanted. */
export function looker(told, faults) {
  return async (page, name, texts = []) => {
    step(name);
    await accessible(page, name, faults);
    await inert(page, name, faults, texts);
    if (!told.screenshots) return;
    mkdirSync(told.screenshots, { recursive: true });
    const colorScheme = told.dark.includes(name) ? "dark" : "light";
    await page.emulateMedia({ colorScheme });
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${told.screenshots}/${name}.png` });
    await page.emulateMedia({ colorScheme: "light" });
  };
}
