// A person with a browser, for idp_test.go: opens an address, fills in and agrees to what
// is asked, and ends where nothing more is. Arguments: address, name, picture of the end.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';

const { chromium } = createRequire(process.env.IDP_MODULES + '/x.js')('playwright-core');
const [address, name, picture] = process.argv.slice(2);
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] });
try {
  const page = await browser.newPage({ viewport: { width: 900, height: 640 } });
  await page.goto(address);
  for (let step = 0; step < 8; step += 1) {
    const button = page.locator('button[type=submit]').first();
    if (await button.count() === 0) break;
    const login = page.locator('input[name=login]');
    if (await login.count() > 0) {
      await login.fill(name);
      await page.locator('input[name=password]').fill('any');
    }
    await Promise.all([page.waitForLoadState('load'), page.waitForNavigation(), button.click()]);
  }
  if (picture) await page.screenshot({ path: picture });
  console.log(await page.title(), '|', (await page.locator('body').innerText()).replace(/\s+/g, ' '));
} finally {
  await browser.close();
}
