# make check is what must pass before a change lands.
.PHONY: build test bench format check gpu-bundle
build:
	dotnet build -c Release -p:Analyze=true
test:
	dotnet test -c Release
bench:
	dotnet run -c Release --project benchmarks
format:
	dotnet format CudaKernels.sln
check: build
	dotnet format CudaKernels.sln --verify-no-changes
	dotnet test -c Release --no-build
# Everything for a GPU machine that has neither .NET nor a network: copy the folder there and start run.sh in it.
gpu-bundle:
	tools/gpu-bundle.sh artifacts/gpu
