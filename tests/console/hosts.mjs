// How hosts fare, and who may be one: ann looks at the fleet, follows its figures, reads one host's health, lets a host in
// that waits by mouse, and turns another away by keyboard.
import { ask, launch, looker, must, person, step, tabTo, tell } from "./lib.mjs";

const told = JSON.parse(process.argv[2]);
const faults = [];
const look = looker(told, faults);

/** Every figure counts the hosts of the list that it leads to. */
async function figures(page) {
  const found = await page.locator(".figures a").evaluateAll((all) => all.map((a) => [a.getAttribute("href"), parseInt(a.textContent, 10)]));
  must(found.length === 9, `${found.length} figures`);
  const counts = {};
  for (const [path, count] of found) {
    await page.goto(new URL(path, page.url()).href);
    const rows = await page.locator("tbody tr").count();
    must(rows === count, `${path} says ${count} and shows ${rows}`);
    must(await page.locator(".figures a[aria-current]").count() === 1, `${path} does not say where it is`);
    counts[path.split("=")[1]] = count;
  }
  return counts;
}

const browser = await launch(told.chromium);
try {
  const { page, origin } = await person(browser, told.ann, faults);
  const open = (path) => page.goto(`${origin}${path}`);

  step("ann sees how the hosts fare");
  await page.getByRole("link", { name: "All hosts" }).click();
  await page.waitForURL("**/hosts");
  await look(page, "hosts-one", [told.hostShown, "in touch", "% of a core", "free"]);
  const before = await figures(page);
  must(before.errors === 0 && before.clock === 0 && before.silent === 0 && before.untold === 0, JSON.stringify(before));

  step("one host tells of itself");
  await open("/hosts");
  await page.getByRole("link", { name: told.hostShown }).first().click();
  await page.waitForURL(/\/hosts\/a-/);
  await look(page, "host-health", [told.hostShown, "none: all was well when it told", "nothing waits", "Most memory at once", "% of a core", told.version]);
  const facts = await page.locator("section[aria-labelledby=h-health]").textContent();
  must(!facts.includes("not known"), `something is not known of a host that told all: ${facts}`);
  for (const wall of told.walls) must(facts.includes(wall), `the wall ${wall} is not told: ${facts}`);

  step("what is wrong with it is told, and is hostile");
  await ask("trouble");
  await page.reload();
  await look(page, "host-trouble", [told.whyShown, "+600.0 s from the server's", "2 parts wait, 2.00 GiB", "landlock (the kernel has none)",
    "not known: the reader had not told them", "Last errors", "an older one: ", "the server, or the way to it", "31"]);
  await open("/hosts");
  const after = await figures(page);
  must(["errors", "clock", "spool", "walls", "untold"].every((name) => after[name] === 1) && after.well === 0, JSON.stringify(after));
  await open("/hosts?only=errors");
  await look(page, "hosts-errors", [told.whyShown, "with errors"]);
  await page.fill("#find", "no such name");
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=No host is like that.");
  must((await open("/hosts?only=%3Cscript%3E")).status() === 404, "there is a list of anything");

  step("two hosts wait, and one is let in by mouse");
  await open("/hosts");
  await page.getByRole("link", { name: "Hosts that wait for approval (2)" }).click();
  await page.waitForURL("**/hosts/pending");
  await look(page, "pending", [...told.keys, told.hostShown, "127.0.0.1", "dmz", "not alone"]);
  await page.locator("tr", { hasText: told.keys[0] }).getByRole("link").click();
  await page.waitForURL("**/decide?key=*");
  const text = await page.textContent("main");
  must(text.includes(told.keys[0]) && !text.includes(told.keys[1]), "another host than the chosen one is shown");
  await look(page, "decide", [told.keys[0], told.hostShown, "127.0.0.1", "dmz", told.token, "as it says", "1 more wait under this name"]);
  await page.fill("#passphrase", told.passphrase);
  await page.click("button.main");
  must(page.url().includes("decide?key="), "it was sent without a verdict");
  await page.getByRole("radio", { name: "Let in" }).check();
  await page.fill("#passphrase", "not the passphrase");
  await page.click("button.main");
  await page.waitForSelector("#errors");
  must(await page.getByRole("radio", { name: "Let in" }).isChecked(), "the choice is lost");
  must(await page.inputValue("#passphrase") === "", "a passphrase comes back");
  await look(page, "decide-error", [told.keys[0]]);
  await page.fill("#passphrase", told.passphrase);
  await page.click("button.main");
  await page.waitForURL("**/hosts/pending?leaf=*");
  await look(page, "pending-decided", ["Your word is in the custody log", told.keys[1]]);
  await page.getByRole("link", { name: /^leaf / }).click();
  await page.waitForURL("**/custody/*");
  await look(page, "leaf-admitted", ["was let in by", "proven"]);

  step("the other is turned away by keyboard");
  await open("/hosts/pending");
  await tabTo(page, "input[name=key]");
  await page.keyboard.press("Space");
  await tabTo(page, "button.main");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/decide?key=*");
  await tabTo(page, "input[name=verdict]");
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowDown");
  must(await page.getByRole("radio", { name: "Turn away" }).isChecked(), "arrows do not choose a verdict");
  await tabTo(page, "#passphrase");
  await page.keyboard.type(told.passphrase);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/hosts/pending?leaf=*");
  await look(page, "pending-empty", ["No host of your agencies waits."]);
  must((await open(`/hosts/pending/decide?key=${told.keys[1]}`)).status() === 404, "what is decided can be decided again");

  step("who was let in is a host, and the other is none");
  await ask("enrolled");
  await open("/hosts");
  must(await page.locator("tbody tr").count() === 2, "there are not two hosts");
  await look(page, "hosts", ["in touch", "dmz", "web"]);
} finally {
  await browser.close();
}
tell(faults);
