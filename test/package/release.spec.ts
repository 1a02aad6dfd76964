import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
}
interface Job {
  needs?: string | string[];
  permissions?: Record<string, string>;
  environment?: string;
  steps: Step[];
}
interface Workflow {
  on: Record<string, unknown>;
  permissions: Record<string, string>;
  jobs: Record<string, Job>;
}

const repository = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const workflow = (name: string) => parse(read(`.github/workflows/${name}`)) as Workflow;
const names = readdirSync(join(repository, '.github/workflows'));
const { on, jobs } = workflow('release.yml');
const job = (name: string): Job => jobs[name] ?? { steps: [] };
const steps = Object.values(jobs).flatMap((each) => each.steps);
const commands = (of: readonly Step[]) => of.flatMap(({ run }) => run ?? []);
const using = (of: readonly Step[], action: string) =>
  of.filter(({ uses }) => uses?.startsWith(`${action}@`));
const needsOf = (name: string) => [job(name).needs ?? []].flat();

/** Runs `work` in a directory that is gone afterwards. */
function inDirectory<T>(work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'release-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe.each(names)('The workflow %s', (name) => {
  const { on: triggers, permissions, jobs: all } = workflow(name);
  const every = Object.values(all).flatMap((each) => each.steps);

  it('pins each action to a commit and says which version that is', () => {
    const pins = every.filter(({ uses }) => uses !== undefined).length;
    expect(pins).toBeGreaterThan(0);
    expect(
      read(`.github/workflows/${name}`).match(/uses: [\w-]+\/[\w-]+@[\da-f]{40} # v\d+\.\d+\.\d+$/gm),
    ).toHaveLength(pins);
  });

  it('may read the repository at most, writes nothing and keeps no credentials', () => {
    expect([{}, { contents: 'read' }]).toContainEqual(permissions);
    for (const [id, each] of Object.entries(all)) {
      if (name === 'release.yml' && id === 'publish') continue;
      expect([undefined, { contents: 'read' }]).toContainEqual(each.permissions);
    }
    for (const checkout of using(every, 'actions/checkout')) {
      expect(checkout.with).toMatchObject({ 'persist-credentials': false });
    }
    expect(read(`.github/workflows/${name}`)).not.toMatch(/secrets\.|NPM_TOKEN|NODE_AUTH_TOKEN/);
  });

  it('gives nothing to a pull request from a fork, and puts no text of others into a command', () => {
    expect(Object.keys(triggers)).not.toContain('pull_request_target');
    expect(commands(every).filter((command) => command.includes('${{'))).toEqual([]);
  });
});

describe('A release', () => {
  it('starts with a version tag and nothing else', () => {
    expect(on).toEqual({ push: { tags: ['v*'] } });
  });

  it.each([
    ['v1.2.3', 0],
    ['v1.2.4', 1],
    ['1.2.3', 1],
    ['v1.2.3-rc.1', 1],
  ])('whose tag is %s for version 1.2.3 exits with %d before anything is installed', (tag, status) => {
    const [check = ''] = commands(job('pack').steps);
    const ended = inDirectory((cwd) => {
      writeFileSync(join(cwd, 'package.json'), '{ "version": "1.2.3" }');
      return spawnSync('bash', ['-e', '-c', check], { cwd, env: { ...process.env, GITHUB_REF_NAME: tag } });
    });
    expect(ended.status).toBe(status);
  });

  it('builds and packs once, in a job that runs no tests', () => {
    expect(commands(steps).filter((command) => /npm pack/.test(command))).toHaveLength(1);
    expect(commands(job('pack').steps).slice(1)).toEqual([
      'npm ci --ignore-scripts',
      'npm run build',
      'npm pack --ignore-scripts',
    ]);
    expect(using(job('pack').steps, 'actions/upload-artifact')).toMatchObject([
      { with: { name: 'package', path: '*.tgz', 'if-no-files-found': 'error' } },
    ]);
    expect(using(steps, 'actions/upload-artifact')).toHaveLength(1);
  });

  it('tests that tarball', () => {
    expect(needsOf('test')).toEqual(['pack']);
    expect(using(job('test').steps, 'actions/download-artifact')).toMatchObject([
      { with: { name: 'package' } },
    ]);
    expect(commands(job('test').steps)).toEqual([
      'PACKAGE_TARBALL=$(ls "$RUNNER_TEMP"/package/*.tgz)\nexport PACKAGE_TARBALL\n.ci/run\n',
    ]);
  });

  it('publishes it with provenance after the tests, in a job that installs and checks out nothing', () => {
    expect(needsOf('publish')).toEqual(['pack', 'test']);
    expect(job('publish').environment).toBe('npm');
    expect(using(job('publish').steps, 'actions/checkout')).toEqual([]);
    expect(using(job('publish').steps, 'actions/download-artifact')).toMatchObject([
      { with: { name: 'package', path: 'package' } },
    ]);
    expect(commands(job('publish').steps)).toEqual([
      'npm publish ./package/*.tgz --ignore-scripts --provenance --access public',
    ]);
    expect(commands(steps).filter((command) => /npm publish/.test(command))).toHaveLength(1);
  });

  it('lets only the job that publishes ask for an identity token, and restores no cache', () => {
    expect(job('publish').permissions).toEqual({ 'id-token': 'write' });
    for (const setup of using(steps, 'actions/setup-node')) {
      expect(setup.with).toMatchObject({ 'package-manager-cache': false });
    }
  });
});

describe('The scripts of a release', () => {
  it('CI runs no install script of a package', () => {
    expect(read('.ci/run')).toMatch(/^export npm_config_ignore_scripts=true$/m);
  });

  it('the package itself runs nothing while it is installed', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(Object.keys(scripts).filter((name) => /install|^prepare$/.test(name))).toEqual([]);
  });

  it('`PACKAGE_TARBALL` is what the package checks take, without building', () => {
    const script = `import { pack } from './test/package/pack.js'; console.log(pack('/nowhere'));`;
    const env = { ...process.env, NODE_OPTIONS: '', PACKAGE_TARBALL: 'given/package-1.2.3.tgz' };
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: repository,
      env,
      encoding: 'utf8',
    });
    expect(stdout.trim()).toBe(join(repository, 'given/package-1.2.3.tgz'));
    for (const check of ['check-package.js', 'matrix.js']) {
      expect(read(`test/package/${check}`)).toMatch(/^const tarball = pack\(directory\);$/m);
    }
  });
});

describe('What a visitor of the repository finds', () => {
  const forms = readdirSync(join(repository, '.github/ISSUE_TEMPLATE')).filter(
    (file) => file !== 'config.yml',
  );

  it('forms for a bug, a partner and a feature, and no empty issue', () => {
    expect(forms.toSorted()).toEqual(['bug.yml', 'feature.yml', 'partner.yml']);
    expect(parse(read('.github/ISSUE_TEMPLATE/config.yml'))).toEqual({ blank_issues_enabled: false });
  });

  it.each(forms)('the form %s asks for what is needed, and to leave out secrets', (file) => {
    const form = parse(read(`.github/ISSUE_TEMPLATE/${file}`)) as {
      name: string;
      description: string;
      body: {
        type: string;
        id?: string;
        attributes: { label?: string; value?: string; options?: { required?: boolean }[] };
      }[];
    };
    expect(form).toMatchObject({ name: expect.any(String), description: expect.any(String) });
    const [hint, ...fields] = form.body;
    expect(hint).toMatchObject({
      type: 'markdown',
      attributes: { value: expect.stringMatching(/token, secret/) },
    });
    for (const { type, attributes } of fields) {
      expect(['input', 'textarea', 'dropdown', 'checkboxes']).toContain(type);
      expect(attributes.label).toEqual(expect.any(String));
    }
    const ids = fields.map(({ id }) => id);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(ids.length);
    expect(fields.at(-1)).toMatchObject({ id: 'secrets', attributes: { options: [{ required: true }] } });
  });

  it('a way to report a vulnerability in private, from the README, the forms and the guide', () => {
    expect(read('SECURITY.md')).toContain('**Report a vulnerability**');
    for (const page of ['README.md', 'CONTRIBUTING.md']) expect(read(page)).toContain('](SECURITY.md)');
    expect(read('.github/ISSUE_TEMPLATE/bug.yml')).toContain('SECURITY.md');
  });
});
