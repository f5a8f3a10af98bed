# The verbs of build.sh but cuda-report, over the same presets and commands.
# No parameters are declared: PowerShell would take dotnet's options for abbreviations of theirs. Lists with commas come
# as arrays.
$Verb = $args[0]
$Rest = @($args | Select-Object -Skip 1 | ForEach-Object { $_ -join ',' })

$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

function Invoke-Tool([string] $Command, [string[]] $Arguments) {
    & $Command @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Build-Native([string] $Preset) {
    Invoke-Tool cmake @("-DPRESET=$Preset", '-P', 'native/cmake/build.cmake')
}

function Get-NativeSources {
    Get-ChildItem native, tests/native, tests/fuzz, tests/cuda_emulation, docs/examples -Recurse -File -Include *.h, *.c, *.cpp, *.cu, *.inc | ForEach-Object FullName
}

switch ($Verb) {
    'build' { Invoke-Tool dotnet (@('build', 'MnistNative.sln') + $Rest) }
    'test' { Invoke-Tool dotnet (@('test', 'MnistNative.sln') + $Rest) }
    'pack' {
        # pack --rids linux-x64,win-x64: only these platforms.
        if ($Rest.Count -ge 2 -and $Rest[0] -eq '--rids') {
            $env:MNISTNATIVE_PACKAGE_RIDS = $Rest[1] -replace ',', ';'
            $Rest = @($Rest | Select-Object -Skip 2)
        }
        foreach ($project in 'MnistNative', 'MnistNative.Models', 'MnistNative.Cli') {
            Invoke-Tool dotnet (@('pack', "managed/$project", '-c', 'Release') + $Rest)
        }
        # The CUDA plugin, which is for two platforms and takes a CUDA toolkit.
        if ($env:MNISTNATIVE_PACKAGE_RIDS -and -not ($env:MNISTNATIVE_PACKAGE_RIDS -split ';' -match '^(linux|win)-x64$')) {
            'MnistNative.Cuda is left out: it is for linux-x64 and win-x64.'
            break
        }
        cmake -P native/cmake/find_cuda.cmake
        if ($LASTEXITCODE -ne 0) {
            'MnistNative.Cuda is left out: there is no CUDA toolkit to build it with.'
            break
        }
        Invoke-Tool dotnet (@('pack', 'managed/MnistNative.Cuda', '-c', 'Release') + $Rest)
    }
    'native' { Build-Native $Rest[0] }
    'asan' {
        Build-Native asan-ubsan
        Invoke-Tool ctest (@('--preset', 'asan-ubsan') + $Rest)
    }
    'tsan' {
        Build-Native tsan
        Invoke-Tool ctest (@('--preset', 'tsan') + $Rest)
    }
    'api' {
        foreach ($project in 'MnistNative', 'MnistNative.Models') {
            Invoke-Tool dotnet (@('format', 'analyzers', "managed/$project/$project.csproj", '--diagnostics', 'RS0016', 'RS0017', '--severity', 'warn') + $Rest)
        }
    }
    'bindings' { Invoke-Tool dotnet (@('run', '--project', 'managed/Bindgen', '--') + $Rest) }
    'format' {
        Invoke-Tool clang-format (@('-i') + @(Get-NativeSources))
        Invoke-Tool dotnet (@('format', 'MnistNative.sln') + $Rest)
    }
    'format-check' {
        clang-format --dry-run -Werror @(Get-NativeSources)
        $failed = $LASTEXITCODE -ne 0
        Invoke-Tool dotnet (@('format', 'MnistNative.sln', '--verify-no-changes') + $Rest)
        if ($failed) { exit 1 }
    }
    'clean' {
        Remove-Item artifacts -Recurse -Force -ErrorAction SilentlyContinue
        $built = @(Get-ChildItem managed, tests, bench -Recurse -Directory -Include bin, obj)
        $built | Remove-Item -Recurse -Force -ErrorAction SilentlyContinue
    }
    default {
        [Console]::Error.WriteLine('usage: build.ps1 VERB [arguments of the command behind it]; VERB is build, test, pack, native, asan, tsan, api, bindings, format, format-check or clean')
        exit 2
    }
}
