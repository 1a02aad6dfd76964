/** @type {import('jest').Config} */
export default {
  rootDir: '.',
  testEnvironment: 'node',
  // The browser test takes minutes: `npm run test:browser`.
  testMatch: ['<rootDir>/test/**/*.spec.ts', '!<rootDir>/test/browser/**'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^nestjs-oauth-client$': '<rootDir>/lib/index.ts',
    '^nestjs-oauth-client/(?!package\\.json)(.*)$': '<rootDir>/lib/$1.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          target: 'es2022',
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  testTimeout: 20_000,
  maxWorkers: 2,
};
